"""Patch size: as much context as the memory budget allows, in the proportions of the body."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from autodiffseg.plans import NetworkPlan

from .memory_budget import convolution_elements
from .presets import Preset
from .topology import ALIKE, MIN_EDGE, Topology, plan_topology

FIRST_EDGE = {2: 2048, 3: 256}
"""Edge of the square or cube (voxels) that the first guess has the volume of."""


class PatchPlan(NamedTuple):
    """A patch that fits, and the network planned for it."""

    topology: Topology
    network: NetworkPlan
    elements: int
    """Of all convolution outputs for one sample."""
    first: tuple[float, ...]
    """The guess from which the patch was shrunk, voxels."""
    shrunk: int
    """Times that an edge was shortened."""


def first_patch(spacing: Sequence[float], median_shape: Sequence[float]) -> tuple[float, ...]:
    """The first guess: isotropic in mm, 256³ voxels (2D: 2048²), no axis longer than the median case or below 1."""
    dimensions = len(spacing)
    inverse = [1 / value for value in spacing]
    scale = (FIRST_EDGE[dimensions] ** dimensions / math.prod(inverse)) ** (1 / dimensions)
    return tuple(max(1, min(round(value * scale), length)) for value, length in zip(inverse, median_shape, strict=True))


def plan_patch(spacing: Sequence[float], median_shape: Sequence[float], *, channels: int, preset: Preset) -> PatchPlan:
    """Shrink the first guess until the network fits.

    The axis that is longest against the median case loses one step of its divisor at a time. The loop ends: every
    round takes voxels away, and a patch that cannot lose any more is kept.

    Args:
        spacing: target, mm, 2 or 3 axes.
        median_shape: of the cases at that spacing, voxels.
        channels: outputs of the network.
        preset: bounds on memory, voxels and depth.
    """
    limits = preset.limits(len(spacing))
    first = first_patch(spacing, median_shape)
    topology = plan_topology(spacing, first, max_stages=preset.max_stages)
    if topology.stages == 1:
        topology = plan_topology(spacing, _halvable(spacing, first), max_stages=preset.max_stages)
    network, built = plan_network(topology, preset), topology
    shrunk = 0
    while True:
        if (built.strides, built.kernels) != (topology.strides, topology.kernels):
            network, built = plan_network(topology, preset), topology  # seldom: most rounds shorten the patch alone
        elements = convolution_elements(network, topology.patch, channels=channels)
        fits = elements / limits.budget_batch * limits.fit_batch <= limits.budget
        if fits and math.prod(topology.patch) <= limits.max_patch_voxels:
            break
        smaller = _shorten(topology, spacing, median_shape, preset)
        if smaller is None:
            break
        topology = smaller
        shrunk += 1
    return PatchPlan(topology, network, elements, first, shrunk)


def _shorten(
    topology: Topology, spacing: Sequence[float], median_shape: Sequence[float], preset: Preset
) -> Topology | None:
    """The next smaller patch, or None when no axis can lose anything."""
    patch = topology.patch
    ratios = [(size / length, axis) for axis, (size, length) in enumerate(zip(patch, median_shape, strict=True))]
    for _, axis in sorted(ratios, reverse=True):
        tentative = list(patch)
        tentative[axis] -= topology.divisor[axis]
        if tentative[axis] < 1:
            continue
        # A shorter edge may need fewer halvings: its own divisor is the step, so that no valid size is skipped.
        step = plan_topology(spacing, tentative, max_stages=preset.max_stages).divisor[axis]
        tentative[axis] = patch[axis] - step
        smaller = plan_topology(spacing, tentative, max_stages=preset.max_stages)
        if smaller.stages > 1 and math.prod(smaller.patch) < math.prod(patch):
            return smaller
    return None


def _halvable(spacing: Sequence[float], patch: Sequence[float]) -> tuple[float, ...]:
    """The patch, grown along its finest axes until they can be halved once.

    Cases of so few voxels are padded: a network of one stage would have no decoder.
    """
    fine = [value / min(spacing) < ALIKE for value in spacing]
    edge = 2 * MIN_EDGE if sum(fine) > 1 else 3 * MIN_EDGE
    return tuple(max(size, edge) if grows else size for size, grows in zip(patch, fine, strict=True))


def plan_network(topology: Topology, preset: Preset) -> NetworkPlan:
    """The network of a topology: features double per stage, up to the preset's most."""
    stages = topology.stages
    encoder, axes = preset.blocks(stages), len(topology.patch)
    added = tuple(blocks + 1 for blocks in encoder)
    most = preset.limits(len(topology.patch)).max_features
    return NetworkPlan(
        encoder=preset.encoder,
        features=tuple(min(most, preset.base_features * 2**stage) for stage in range(stages)),
        kernels=topology.kernels if preset.thin_kernels else ((3,) * axes,) * stages,
        strides=topology.strides,
        encoder_blocks=encoder,
        decoder_blocks=added if preset.skips == "add" else (preset.decoder_convolutions,) * (stages - 1),
        skips=preset.skips,
        activation=preset.activation,
        transformer_layers=preset.transformer_layers,
        deep_supervision=preset.deep_supervision and stages > 2,
    )
