"""Plan: every decision of the planner. The file is the contract between planning and training."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics, LeakageCurve
from autodiffseg.plan_inheritance import inherited, own_part
from autodiffseg.records import Record
from autodiffseg.sampling import Variance

ATTENTION_HEADS = 8
"""Of the transformer layers; the recycling paper has eight."""

SCHEMA_VERSION: Final = 1

Count = Annotated[int, Field(ge=1, lt=2**31)]
Length = Annotated[float, Field(gt=0)]
Scheme = Literal["ct", "zscore", "rescale", "rgb", "none"]


def is_name(text: str) -> bool:
    """Whether a plan or a configuration can be called so: it names folders, in which two underscores part the names."""
    return re.fullmatch(r"\w[\w.-]*", text) is not None and "__" not in text


class NetworkPlan(Record):
    """The U-Net, stage by stage from the finest to the coarsest; 2 or 3 numbers per kernel and stride."""

    encoder: Literal["plain", "residual"] = "plain"
    """A residual encoder begins with a convolution of its own (the stem), as wide as the first stage."""
    features: tuple[Count, ...] = Field(min_length=2)
    """Channels of each stage; without a second one there is no decoder."""
    kernels: tuple[tuple[Count, ...], ...]
    """Extent of each stage's convolutions; odd, so that they keep the size of the image."""
    strides: tuple[tuple[Count, ...], ...]
    """The stride with which each stage begins; all ones for the first."""
    encoder_blocks: tuple[Count, ...]
    """Convolutions (plain) or residual blocks of two convolutions (residual) per stage."""
    decoder_blocks: tuple[Count, ...]
    """Convolutions per decoder stage, finest first: one fewer than stages. With additive skips residual blocks, one
    for each skip (`encoder_blocks` + 1), at every stage."""
    skips: Literal["concat", "add"] = "concat"
    """How the decoder sees the encoder: each stage's result beside its own channels, or every block's result added to
    them (the recycling paper's network, whose encoder is residual)."""
    activation: Literal["leaky_relu", "gelu"] = "leaky_relu"
    """After norms and residual sums; the recycling paper has `gelu`."""
    transformer_layers: int = Field(default=0, ge=0)
    """Self-attention layers at the coarsest stage; the recycling paper has one."""
    deep_supervision: bool = True
    """Losses at coarser resolutions too."""

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        stages = len(self.features)
        for name, wanted in (("kernels", stages), ("strides", stages), ("encoder_blocks", stages)):
            if len(getattr(self, name)) != wanted:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries for {stages} stages")
        if self.skips == "add":
            self._skips_can_be_added()
        elif len(self.decoder_blocks) != stages - 1:
            raise ValueError(f"decoder_blocks has {len(self.decoder_blocks)} entries, {stages - 1} are needed")
        if len({len(entry) for entry in (*self.kernels, *self.strides)}) != 1:
            raise ValueError("every kernel and stride needs as many numbers as the configuration has dimensions")
        if any(size % 2 == 0 for kernel in self.kernels for size in kernel):
            raise ValueError(f"kernels must be odd, got {self.kernels}")
        if any(step != 1 for step in self.strides[0]):
            raise ValueError(f"the first of the strides must be all ones, got {self.strides[0]}")
        if self.transformer_layers and self.features[-1] % ATTENTION_HEADS:
            raise ValueError(
                f"attention needs a multiple of {ATTENTION_HEADS} features, the last stage has {self.features[-1]}"
            )
        return self

    def _skips_can_be_added(self) -> None:
        if self.encoder != "residual":
            raise ValueError(f"skips 'add' needs encoder 'residual', got '{self.encoder}'")
        wanted = tuple(blocks + 1 for blocks in self.encoder_blocks)
        if self.decoder_blocks != wanted:
            raise ValueError(f"decoder_blocks must be {wanted} with skips 'add', one more than encoder_blocks")

    @property
    def divisor(self) -> tuple[int, ...]:
        """What each axis of a patch must be divisible by: the product of the strides."""
        return tuple(math.prod(axis) for axis in zip(*self.strides, strict=True))


class NormalisationPlan(Record):
    """How one image channel is normalised."""

    scheme: Scheme
    """`ct` clips and scales by the intensities of the dataset, `rescale` goes to [0, 1], `rgb` divides by 255."""
    use_mask: bool = False
    """z-score over the nonzero mask alone, with zero outside it."""


class ConfigurationPlan(Record):
    """One way to look at the dataset: `2d`, `3d_fullres`, …  All tuples are in transposed axis order."""

    inherits_from: str | None = None
    """Another configuration that gives every key that this one does not have; the file holds the differences alone."""
    previous_stage: str | None = None
    """The configuration whose segmentation this one is shown beside the image (a cascade), or none."""
    dimensions: Literal[2, 3]
    """In 2D patches are slices across the first axis and the tuples below have two numbers."""
    spacing: tuple[Length, ...]
    """Target spacing in mm; in 2D of the last two axes (the first is not resampled)."""
    target_size: tuple[Count, Count] | None = None
    """Instead of `spacing`, in 2D: every image is resampled to so many pixels (y, x), whatever its own size."""
    median_shape: tuple[Count, ...]
    """Median case at the target spacing, voxels."""
    patch_size: tuple[Count, ...]
    """Voxels; each axis is divisible by the product of its strides."""
    batch_size: Count
    """Patches per update."""
    batch_dice: bool
    """Dice loss over the batch as if it were one image."""
    normalisation: tuple[NormalisationPlan, ...]
    """One per channel."""
    network: NetworkPlan
    """The U-Net."""
    mirror_axes: tuple[int, ...]
    """Patch axes along which a case may be mirrored, in training and in prediction alike."""

    @model_validator(mode="after")
    def _dimensions_agree(self) -> Self:
        for name in ("spacing", "median_shape", "patch_size"):
            if len(getattr(self, name)) != self.dimensions:
                raise ValueError(f"{name} needs {self.dimensions} numbers, has {len(getattr(self, name))}")
        if self.dimensions == 3 and self.target_size is not None:
            raise ValueError("target_size is for 2D configurations; a 3D one is planned by spacing")
        if not set(self.mirror_axes) <= set(range(self.dimensions)) or len(set(self.mirror_axes)) < len(
            self.mirror_axes
        ):
            raise ValueError(f"mirror_axes must be of 0 to {self.dimensions - 1}, each once, got {self.mirror_axes}")
        divisor = self.network.divisor
        if len(divisor) != self.dimensions:
            raise ValueError(f"network has {len(divisor)} axes, the configuration {self.dimensions}")
        if any(size % step for size, step in zip(self.patch_size, divisor, strict=True)):
            raise ValueError(f"patch_size {self.patch_size} must be divisible by {divisor}, the product of the strides")
        if self.patch_size == divisor:
            raise ValueError(f"patch_size {self.patch_size} leaves one voxel to the last stage, too few for its norm")
        return self


class DiffusionPlan(Record):
    """Noise schedule and sampler (recycling paper, arXiv 2308.16355)."""

    encoding: Literal["classes", "regions"] | None = None
    """What the mask's channels are; it must be what dataset.json declares. None: whatever that is."""
    base_steps: int = Field(default=1001, ge=2)
    """T, the length of the schedule; 1001 so that 5 steps can be respaced with both endpoints kept."""
    schedule: Literal["linear", "quadratic", "cosine", "warmup10", "warmup50"] = "linear"
    """How the variance of the noise grows over the base steps."""
    beta_start: float = Field(default=1e-4, gt=0, lt=1)
    """Variance of the first base step."""
    beta_end: float = Field(default=0.02, gt=0, lt=1)
    """Variance of the last base step."""
    zero_terminal_snr: bool | None = None
    """Whether √ᾱ is rescaled so that the last base step is pure noise, as prediction begins. None: only where it would
    otherwise show more than a hundredth of the mask (√ᾱ > 0.01), as the quadratic schedule and short ones do."""
    log_snr_shift: float = 0.0
    """Added to log(ᾱ/(1-ᾱ)): negative makes every step noisier and hides more of the label. A trainer's option of that
    name goes before it."""
    leakage: LeakageCurve | None = None
    """What the shift was planned from; nothing is computed from it."""
    respacing: Literal["trailing", "endpoints"] = "trailing"
    """Which base steps a short sampling visits."""
    sampling_steps: Count = 5
    """What predict does unless told otherwise."""
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    """What predict does unless told otherwise."""
    eta: float = Field(default=0.0, ge=0, le=1)
    """DDIM's share of fresh noise, from 0 (none) to 1 (the variance of DDPM)."""
    variance: Variance = "fixed-small"
    """Of a DDPM step: that of the process, or the larger β."""

    @model_validator(mode="after")
    def _steps_exist(self) -> Self:
        if self.sampling_steps > self.base_steps:
            raise ValueError(f"sampling_steps {self.sampling_steps} are more than the {self.base_steps} base_steps")
        return self


class Plan(Record):
    """Every decision for one dataset, for all its configurations and all trainers."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Of this format."""
    name: str
    """The file's name; a copied file is called by its own."""
    preset: str
    """What it was made with: a preset's name, or `imported`."""
    dataset: str
    """Full name."""
    fingerprint_hash: str
    """Hash of the raw files that the fingerprint was taken from."""
    transpose: tuple[int, int, int]
    """Axes of a raw `(Z, Y, X)` array in the order in which everything after reading works."""
    intensities: tuple[IntensityStatistics, ...]
    """Per channel, over the foreground of the training cases (used by the `ct` scheme)."""
    configurations: dict[str, ConfigurationPlan] = Field(min_length=1)
    """Name (`2d`, `3d_fullres`, your own) -> configuration."""
    diffusion: DiffusionPlan = DiffusionPlan()
    """Noise schedule and sampler of the diffusion trainers."""
    gpu_memory_gb: float | None = Field(default=None, gt=0)
    """GB of the GPU that patch and batch were planned for; None for a CPU and for plans made elsewhere."""
    planned_for: tuple[str, ...] = ()
    """Trainers that were held to fit that GPU; empty when none was asked about."""
    iterations: Count
    """Network updates of a full training."""

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, content: Any) -> Any:
        if isinstance(content, dict) and (version := content.get("schema_version", SCHEMA_VERSION)) != SCHEMA_VERSION:
            raise ValueError(
                f"the plan has schema_version {version!r:.20}, this version of autodiffseg reads {SCHEMA_VERSION}; "
                "install the version that wrote it, or plan anew under another --name"
            )
        if isinstance(content, dict) and isinstance(content.get("configurations"), dict):
            return {**content, "configurations": inherited(content["configurations"])}
        return content

    @model_validator(mode="after")
    def _names_can_name_folders(self) -> Self:
        for name in self.configurations:
            if not is_name(name):
                raise ValueError(f"configuration {name!r:.80}: a name has letters, digits, '-', '.' and single '_'")
        return self

    @model_validator(mode="after")
    def _transpose_is_an_order(self) -> Self:
        if sorted(self.transpose) != [0, 1, 2]:
            raise ValueError(f"transpose must hold 0, 1 and 2 once each, got {self.transpose}")
        return self

    @model_validator(mode="after")
    def _channels_agree(self) -> Self:
        for name, configuration in self.configurations.items():
            if len(configuration.normalisation) != len(self.intensities):
                raise ValueError(
                    f"configuration '{name}': normalisation has {len(configuration.normalisation)} entries for "
                    f"{len(self.intensities)} channels (intensities)"
                )
        return self

    @model_validator(mode="after")
    def _stages_exist(self) -> Self:
        for name, configuration in self.configurations.items():
            before = configuration.previous_stage
            if before is None:
                continue
            if before not in self.configurations:
                raise ValueError(f"configuration '{name}' has the previous_stage '{before}', which the plan lacks")
            if self.configurations[before].previous_stage is not None or before == name:
                raise ValueError(f"configuration '{name}': its previous_stage '{before}' is part of a cascade itself")
            if {configuration.dimensions, self.configurations[before].dimensions} != {3}:
                raise ValueError(f"configuration '{name}': a cascade and its previous_stage are 3D")
        return self

    @model_serializer(mode="wrap")
    def _differences(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is inherited is not written, so that a change of the parent reaches the child."""
        content: dict[str, Any] = serialise(self)
        whole = content["configurations"]
        content["configurations"] = {
            name: own_part(own, whole[own["inherits_from"]]) if own["inherits_from"] else own
            for name, own in whole.items()
        }
        return content

    @property
    def transpose_back(self) -> tuple[int, int, int]:
        """The inverse of `transpose`."""
        order = [self.transpose.index(axis) for axis in range(3)]
        return (order[0], order[1], order[2])

    def configuration(self, name: str) -> ConfigurationPlan:
        """The configuration called `name`.

        Raises:
            UserError: when the plan has none of that name; the message lists those it has.
        """
        if name not in self.configurations:
            known = ", ".join(self.configurations)
            raise UserError(f"Plan '{self.name}' of {self.dataset} has no configuration '{name}'; it has: {known}.")
        return self.configurations[name]

    def data_id(self, name: str) -> str:
        """Folder name of the preprocessed cases: the configuration and a hash of what preprocessing depends on.

        Plans that differ in patch, batch or network share their data.
        """
        digest = self._data_digest(name)
        while (parent := self.configuration(name).inherits_from) and self._data_digest(parent) == digest:
            name = parent
        return f"{name}-{digest}"

    def _data_digest(self, name: str) -> str:
        configuration = self.configuration(name)
        parts: dict[str, Any] = {
            "raw": self.fingerprint_hash,
            "transpose": self.transpose,
            "spacing": configuration.spacing,
            "normalisation": [channel.model_dump() for channel in configuration.normalisation],
            "intensities": [channel.model_dump() for channel in self.intensities],
        }
        if configuration.target_size is not None:
            parts["target_size"] = configuration.target_size
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]
