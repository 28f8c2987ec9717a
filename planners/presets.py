"""Presets: how large a network the planner may plan. Chosen by name, never from the machine that plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autodiffseg import registry
from autodiffseg.errors import UserError


@dataclass(frozen=True)
class Limits:
    """The bounds for networks of one dimensionality."""

    max_features: int
    """Channels of the deepest stages."""
    budget: float
    """Elements of all convolution outputs that `budget_batch` samples may have: the measure of memory."""
    budget_batch: int
    max_patch_voxels: float = float("inf")
    min_batch: int = 2
    max_batch: int | None = None


@dataclass(frozen=True)
class Preset:
    """Everything that a person may choose before the dataset is looked at."""

    name: Literal["default", "cpu"]
    two: Limits
    three: Limits
    base_features: int
    """Channels of the finest stage; each coarser stage has twice as many, up to `max_features`."""
    max_stages: int
    deep_supervision: bool
    iterations: int
    """Network updates of a full training."""
    convolutions: int = 2
    """Per stage, in the encoder and in the decoder."""
    dataset_share: float = 0.05
    """Of all voxels of the dataset: more than this is not put into one batch."""

    def limits(self, dimensions: int) -> Limits:
        """The bounds for 2D or 3D networks."""
        return self.two if dimensions == 2 else self.three


# nnU-Net's calibration: 8 GB hold these element counts at batch 12 (2D) and 2 (3D). Its 1000 epochs are as many
# updates.
DEFAULT = Preset(
    name="default",
    two=Limits(max_features=512, budget=85e6, budget_batch=12),
    three=Limits(max_features=320, budget=560e6, budget_batch=2),
    base_features=32,
    max_stages=99,
    deep_supervision=True,
    iterations=250_000,
)

# Two cores train this in minutes: the patch is that of the smallest Decathlon set.
CPU = Preset(
    name="cpu",
    two=Limits(max_features=128, budget=85e6, budget_batch=12, max_patch_voxels=128**2, min_batch=4, max_batch=8),
    three=Limits(max_features=128, budget=560e6, budget_batch=2, max_patch_voxels=90_000, max_batch=2),
    base_features=16,
    max_stages=4,
    deep_supervision=False,
    iterations=5_000,
)

PRESETS = {preset.name: preset for preset in (DEFAULT, CPU)}


def find_preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        UserError: when there is none; the message lists those there are.
    """
    for preset in PRESETS.values():
        if preset.name == name:
            return preset
    raise UserError(registry.unknown("preset", name, list(PRESETS)))
