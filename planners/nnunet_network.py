"""The network of an nnU-Net plan: its arguments read as data, never imported, and refused where ours differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field

from autodiffseg.plans import Count
from autodiffseg.records import Record

_UNETS = "dynamic_network_architectures.architectures."
ENCODERS: dict[str, Literal["plain", "residual"]] = {
    f"{_UNETS}unet.PlainConvUNet": "plain",
    f"{_UNETS}unet.ResidualEncoderUNet": "residual",
    f"{_UNETS}residual_unet.ResidualEncoderUNet": "residual",
}
"""Class by its full name -> our encoder; every other class is refused."""
OLD_NAMES = {"PlainConvUNet": f"{_UNETS}unet.PlainConvUNet", "ResidualEncoderUNet": f"{_UNETS}unet.ResidualEncoderUNet"}
"""`UNet_class_name` of plans up to 2023 -> the full name."""
SLOPE = 0.01
EPSILON = 1e-5
WITHOUT_EFFECT = (None, False, 0, 0.0)
"""Values with which an argument that our network does not have asks for nothing."""

PerStage = Count | tuple[Count, ...]
PerAxis = Count | tuple[Count | tuple[Count, ...], ...]


class NetworkArguments(Record):
    """`arch_kwargs` of PlainConvUNet and ResidualEncoderUNet; one number stands for all stages or axes."""

    model_config = ConfigDict(extra="allow")

    n_stages: int = Field(ge=1, le=32)
    features_per_stage: PerStage
    conv_op: str
    kernel_sizes: PerAxis
    strides: PerAxis
    n_conv_per_stage: PerStage | None = None
    n_blocks_per_stage: PerStage | None = None
    n_conv_per_stage_decoder: PerStage
    """Coarsest stage first, in the order of computation."""
    conv_bias: bool = True
    """Has no effect: the norm behind every convolution takes its bias away again."""
    norm_op: str | None = None
    norm_op_kwargs: dict[str, Any] | None = None
    dropout_op: str | None = None
    dropout_op_kwargs: dict[str, Any] | None = None
    nonlin: str | None = None
    nonlin_kwargs: dict[str, Any] | None = None
    deep_supervision: bool | None = None
    """nnU-Net's trainer decides it, and has it on."""


class Architecture(Record):
    """`architecture` of plans since 2024."""

    model_config = ConfigDict(extra="ignore")

    network_class_name: str
    arch_kwargs: NetworkArguments


class OldArchitecture(Record):
    """What plans up to 2023 say of the network, among the keys of the configuration."""

    model_config = ConfigDict(extra="ignore")

    UNet_class_name: str
    UNet_base_num_features: Count
    unet_max_num_features: Count
    n_conv_per_stage_encoder: tuple[Count, ...] = Field(min_length=1, max_length=32)
    n_conv_per_stage_decoder: tuple[Count, ...]
    pool_op_kernel_sizes: tuple[tuple[Count, ...], ...]
    conv_kernel_sizes: tuple[tuple[Count, ...], ...]

    def renewed(self, dimensions: int) -> Architecture:
        """The same network in the newer form."""
        stages = len(self.n_conv_per_stage_encoder)
        name = OLD_NAMES.get(self.UNet_class_name, self.UNet_class_name)
        blocks = "n_blocks_per_stage" if ENCODERS.get(name) == "residual" else "n_conv_per_stage"
        arguments = {
            "n_stages": stages,
            "features_per_stage": [
                min(self.unet_max_num_features, self.UNet_base_num_features * 2**stage) for stage in range(stages)
            ],
            "conv_op": f"Conv{dimensions}d",
            "kernel_sizes": self.conv_kernel_sizes,
            "strides": self.pool_op_kernel_sizes,
            blocks: self.n_conv_per_stage_encoder,
            "n_conv_per_stage_decoder": self.n_conv_per_stage_decoder,
            "norm_op": f"InstanceNorm{dimensions}d",
            "norm_op_kwargs": {"eps": EPSILON, "affine": True},
            "nonlin": "LeakyReLU",
        }
        return Architecture(network_class_name=name, arch_kwargs=NetworkArguments.model_validate(arguments))


def network_plan(architecture: Architecture, dimensions: int) -> dict[str, Any]:
    """The keys of our network of the same features, blocks, kernels and strides, not yet checked by `NetworkPlan`.

    Raises:
        ValueError: when the class or an argument is none that our network has; the message names it.
    """
    encoder = ENCODERS.get(architecture.network_class_name)
    if encoder is None:
        known = ", ".join(OLD_NAMES)
        raise ValueError(
            f"network '{architecture.network_class_name:.200}' has no counterpart here; there are those of {known}"
        )
    given = architecture.arch_kwargs
    _refuse_what_differs(given, dimensions)
    blocks = given.n_blocks_per_stage if encoder == "residual" else given.n_conv_per_stage
    if blocks is None:
        raise ValueError("arch_kwargs has no n_blocks_per_stage (residual) or n_conv_per_stage (plain)")
    stages = given.n_stages
    features = _per_stage(given.features_per_stage, stages)
    if len(features) != stages:
        raise ValueError(f"features_per_stage has {len(features)} entries for n_stages {stages}")
    return {
        "encoder": encoder,
        "features": features,
        "kernels": _per_axis(given.kernel_sizes, stages, dimensions),
        "strides": _per_axis(given.strides, stages, dimensions),
        "encoder_blocks": _per_stage(blocks, stages),
        "decoder_blocks": _per_stage(given.n_conv_per_stage_decoder, stages - 1)[::-1],  # ours: finest first
        # nnU-Net's trainer turns it on whatever the plan; two stages would leave its weights 0/0.
        "deep_supervision": given.deep_supervision is not False and stages > 2,
    }


def _refuse_what_differs(given: NetworkArguments, dimensions: int) -> None:
    def differs(name: str, value: object) -> ValueError:
        return ValueError(f"{name} {value!r:.200} has no counterpart in our network")

    def last(dotted: str | None) -> str | None:
        return None if dotted is None else dotted.rpartition(".")[2]

    if last(given.conv_op) != f"Conv{dimensions}d":
        raise differs("conv_op", given.conv_op)
    if last(given.norm_op) != f"InstanceNorm{dimensions}d":
        raise differs("norm_op", given.norm_op)
    if {"eps": EPSILON, "affine": False, **(given.norm_op_kwargs or {})} != {"eps": EPSILON, "affine": True}:
        raise differs("norm_op_kwargs", given.norm_op_kwargs)
    if given.dropout_op is not None and (given.dropout_op_kwargs or {}).get("p", 0.5) != 0:
        raise differs("dropout_op", given.dropout_op)
    if last(given.nonlin) != "LeakyReLU":
        raise differs("nonlin", given.nonlin)
    if (given.nonlin_kwargs or {}).get("negative_slope", SLOPE) != SLOPE:
        raise differs("nonlin_kwargs", given.nonlin_kwargs)
    for name, value in (given.model_extra or {}).items():
        if value not in WITHOUT_EFFECT:
            raise differs(f"arch_kwargs '{name:.80}'", value)


def _per_stage(value: int | tuple[int, ...], stages: int) -> tuple[int, ...]:
    return (value,) * stages if isinstance(value, int) else value


def _per_axis(
    value: int | Sequence[int | tuple[int, ...]], stages: int, dimensions: int
) -> tuple[tuple[int, ...], ...]:
    entries = (value,) * stages if isinstance(value, int) else value
    return tuple((entry,) * dimensions if isinstance(entry, int) else entry for entry in entries)
