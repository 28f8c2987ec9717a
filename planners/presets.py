"""Presets: how large a network the planner may plan. Chosen by name, never from the machine that plans."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from autodiffseg import registry
from autodiffseg.errors import UserError


@dataclass(frozen=True)
class Limits:
    """The bounds for networks of one dimensionality."""

    max_features: int
    """Channels of the deepest stages."""
    budget: float
    """Elements of all convolution outputs of one sample when `budget_batch` of them fill the memory."""
    budget_batch: int
    fit_batch: int = 2
    """Samples that must fit into the budget before a patch is accepted."""
    max_patch_voxels: float = float("inf")
    min_batch: int = 2
    """Batches are no smaller, whatever the memory."""
    small_dataset_batch: int = 2
    """The share of the dataset does not make batches smaller than this."""
    max_batch: int = 1_000_000


@dataclass(frozen=True)
class Preset:
    """Everything that a person may choose before the dataset is looked at."""

    name: str
    summary: str
    """What it is for, in a few words."""
    two: Limits
    three: Limits
    gpu_memory_gb: float | None
    """The card that `budget` stands for; None for networks that are trained on a CPU."""
    card_gb: float | None = None
    """The card that must hold the costliest trainer, GB as cards are sold; None for networks that are trained on a CPU.
    nnU-Net's budgets are nominal: its authors ask for 10 GB where the budget is for 8."""
    base_features: int = 32
    """Channels of the finest stage; each coarser stage has twice as many, up to `max_features`."""
    max_stages: int = 99
    deep_supervision: bool = True
    iterations: int = 250_000
    """Network updates of a full training."""
    encoder: Literal["plain", "residual"] = "plain"
    encoder_blocks: tuple[int, ...] = (2,)
    """Convolutions (plain) or residual blocks per encoder stage, finest first; the last number goes on."""
    decoder_convolutions: int = 2
    """Per decoder stage; additive skips have a decoder of their own, as deep as the encoder says."""
    skips: Literal["concat", "add"] = "concat"
    activation: Literal["leaky_relu", "gelu"] = "leaky_relu"
    transformer_layers: int = 0
    thin_kernels: bool = True
    """Kernels 1 wide across coarse axes; else 3 wide everywhere."""
    dataset_share: float = 0.05
    """Of all voxels of the dataset: more than this is not put into one batch."""

    def limits(self, dimensions: int) -> Limits:
        """The bounds for 2D or 3D networks."""
        return self.two if dimensions == 2 else self.three

    def blocks(self, stages: int) -> tuple[int, ...]:
        """Blocks of each of `stages` encoder stages."""
        given = self.encoder_blocks[:stages]
        return (*given, *(self.encoder_blocks[-1:] * (stages - len(given))))

    def scaled_to(self, gigabytes: float) -> Preset:
        """The same preset for a card of another size: the budgets grow in proportion, as nnU-Net scales its own.

        Raises:
            UserError: for a preset that is not made for a GPU.
        """
        if self.gpu_memory_gb is None:
            raise UserError(f"--gpu-memory does not go with the preset '{self.name}', which is made for a CPU.")
        factor = gigabytes / self.gpu_memory_gb
        return replace(
            self,
            gpu_memory_gb=gigabytes,
            card_gb=gigabytes,
            two=replace(self.two, budget=self.two.budget * factor),
            three=replace(self.three, budget=self.three.budget * factor),
        )


MAX_BATCH_2D, MAX_BATCH_3D = 128, 32
"""Above it an update costs more and teaches hardly more; nnU-Net's residual planner goes to 4554 on small images."""
SMALL_DATASET_BATCH_2D = 12
"""nnU-Net's reference batch in 2D: the batch of a small dataset of slices is not cut below it."""

# nnU-Net's calibration: 8 GB hold these element counts at batch 12 (2D) and 2 (3D). Its 1000 epochs are as many
# updates.
DEFAULT = Preset(
    name="default",
    summary="plain convolutions, for a GPU with 10 GB",
    two=Limits(512, 85e6, 12, small_dataset_batch=SMALL_DATASET_BATCH_2D, max_batch=MAX_BATCH_2D),
    three=Limits(320, 560e6, 2, max_batch=MAX_BATCH_3D),
    gpu_memory_gb=8,
    card_gb=10,
)


def _residual(size: str, gigabytes: float, card: float, budget_2d: float, budget_3d: float) -> Preset:
    """nnU-Net's residual encoders; in 2D their patch must fit at the full reference batch."""
    return replace(
        DEFAULT,
        name=f"residual-{size}",
        summary=f"residual encoder, for a GPU with {card:g} GB",
        two=replace(DEFAULT.two, budget=budget_2d, fit_batch=DEFAULT.two.budget_batch),
        three=replace(DEFAULT.three, budget=budget_3d),
        gpu_memory_gb=gigabytes,
        card_gb=card,
        encoder="residual",
        encoder_blocks=(1, 3, 4, 6),
        decoder_convolutions=1,
    )


RESIDUAL_M = _residual("m", 8, 11, 135e6, 680e6)
RESIDUAL_L = _residual("l", 24, 24, 380e6, 2.1e9)
RESIDUAL_XL = _residual("xl", 40, 40, 560e6, 3.6e9)

# Two cores train this in minutes: the patch is that of the smallest Decathlon set.
CPU = Preset(
    name="cpu",
    summary="a small network for two CPU cores",
    two=Limits(128, 85e6, 12, max_patch_voxels=128**2, min_batch=4, small_dataset_batch=4, max_batch=8),
    three=Limits(128, 560e6, 2, max_patch_voxels=90_000, max_batch=2),
    gpu_memory_gb=None,
    base_features=16,
    max_stages=4,
    deep_supervision=False,
    iterations=5_000,
)

# The recycling paper's network (arXiv 2308.16355), the same for all of its datasets. Its patches fit the authors'
# devices by recomputing activations, ours by the budgets of a card that holds its 128³ voxels without.
IMGX_UNET = replace(
    RESIDUAL_L,
    name="imgx-unet",
    summary="the recycling paper's network, for a GPU with 24 GB",
    two=replace(RESIDUAL_L.two, max_features=256),
    three=replace(RESIDUAL_L.three, max_features=256),
    max_stages=4,
    deep_supervision=False,
    encoder_blocks=(2,),
    skips="add",
    activation="gelu",
    transformer_layers=1,
    thin_kernels=False,
)

PRESETS = {preset.name: preset for preset in (DEFAULT, RESIDUAL_M, RESIDUAL_L, RESIDUAL_XL, IMGX_UNET, CPU)}


def find_preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        UserError: when there is none; the message lists those there are.
    """
    if name not in PRESETS:
        raise UserError(registry.unknown("preset", name, list(PRESETS)))
    return PRESETS[name]
