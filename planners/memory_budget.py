"""How much a network keeps in memory: the elements of all its convolution outputs, in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from autodiffseg.plans import NetworkPlan


def stage_shapes(network: NetworkPlan, patch: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Feature map of each stage, finest first, voxels."""
    shape = tuple(patch)
    for stride in network.strides:
        shape = tuple(math.ceil(length / step) for length, step in zip(shape, stride, strict=True))
        yield shape


def convolution_elements(network: NetworkPlan, patch: Sequence[int], *, channels: int) -> int:
    """Elements of all convolution outputs for one sample.

    Counts what nnU-Net counts, so that its calibrated budgets hold: every convolution of encoder and decoder, the
    upsampling convolutions and the head of the finest stage (not the heads of deep supervision). For a residual encoder
    the stem, two convolutions a block and the projection of a skip that changes its size or channels. Networks with
    additive skips, which nnU-Net does not have, are counted alike; attention never is.

    Args:
        patch: voxels along each axis.
        channels: outputs of the head.
    """
    voxels = [math.prod(shape) for shape in stage_shapes(network, patch)]
    if network.skips == "add":
        return (
            sum(_additive_stage(network, stage) * voxels[stage] for stage in range(len(voxels))) + channels * voxels[0]
        )
    total = sum(_encoder_stage(network, stage) * voxels[stage] for stage in range(len(voxels)))
    if network.encoder == "residual":
        total += network.features[0] * voxels[0]  # the stem
    for stage, convolutions in enumerate(network.decoder_blocks):
        total += (convolutions + 1) * network.features[stage] * voxels[stage]  # + 1: the upsampling
    return total + channels * voxels[0]


def _encoder_stage(network: NetworkPlan, stage: int) -> int:
    """Channels of all convolution outputs of one encoder stage."""
    features, blocks = network.features[stage], network.encoder_blocks[stage]
    if network.encoder == "plain":
        return blocks * features
    changes = stage > 0 and (features != network.features[stage - 1] or max(network.strides[stage]) > 1)
    return (2 * blocks + (1 if changes else 0)) * features


def _additive_stage(network: NetworkPlan, stage: int) -> int:
    """Channels of all convolution outputs of one stage of a network with additive skips, encoder and decoder."""
    blocks = network.encoder_blocks[stage] + network.decoder_blocks[stage]
    if stage == len(network.features) - 1:
        return (1 + 2 * (blocks + 2)) * network.features[stage]  # its entry, and the two blocks around attention
    return (1 + 2 * blocks + 1) * network.features[stage]  # its entry, and the upsampling that leads back to it
