"""Depth of the U-Net: which axes are halved between stages and how wide the kernels are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

MIN_EDGE = 4  # voxels: feature maps are not pooled below this
ALIKE = 2.0  # spacings within this factor count as isotropic


class Topology(NamedTuple):
    """The shape of a U-Net: one entry per stage, finest first."""

    patch: tuple[int, ...]
    """The patch asked for, rounded up until every axis can be halved as often as planned."""
    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]

    @property
    def stages(self) -> int:
        """Resolutions of the encoder."""
        return len(self.strides)

    @property
    def divisor(self) -> tuple[int, ...]:
        """The product of the strides per axis: every patch edge is a multiple of it."""
        return tuple(math.prod(axis) for axis in zip(*self.strides, strict=True))


def plan_topology(spacing: Sequence[float], patch: Sequence[float], *, max_stages: int = 99) -> Topology:
    """Halve the axes until the feature map is small, finest spacing first (nnU-Net's rule).

    An axis is halved while it has 8 voxels or more and its spacing is below twice the finest of such axes; a last
    axis alone needs 12. Its kernel is 1 wide until its spacing comes within a factor of two of the finest, then 3.

    Two stages are possible for tiny patches. Deep supervision must be off for them: its coarsest output has weight 0,
    and where that is the only one the weights become 0/0.

    Args:
        spacing: mm (or anything proportional), 2 or 3 axes.
        patch: voxels wanted; fractions (medians) are rounded up.
        max_stages: stop at so many stages.
    """
    sizes = [float(size) for size in patch]
    spacings = [float(value) for value in spacing]
    axes = range(len(sizes))
    kernel = [1 for _ in axes]
    strides = [tuple(1 for _ in axes)]
    kernels: list[tuple[int, ...]] = []
    while len(strides) < max_stages:
        pooled = _axes_to_halve(spacings, sizes)
        if not pooled:
            break
        finest = min(spacings)
        kernel = [3 if kernel[axis] == 3 or spacings[axis] / finest < ALIKE else 1 for axis in axes]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in pooled else 1 for axis in axes))
        for axis in pooled:
            spacings[axis] *= 2
            sizes[axis] = math.ceil(sizes[axis] / 2)
    kernels.append(tuple(3 for _ in axes))
    divisors = [math.prod(stride[axis] for stride in strides) for axis in axes]
    padded = tuple(math.ceil(size / divisor) * divisor for size, divisor in zip(patch, divisors, strict=True))
    return Topology(patch=padded, strides=tuple(strides), kernels=tuple(kernels))


def _axes_to_halve(spacings: Sequence[float], sizes: Sequence[float]) -> list[int]:
    long = [axis for axis, size in enumerate(sizes) if size >= 2 * MIN_EDGE]
    if not long:
        return []
    finest = min(spacings[axis] for axis in long)
    fine = [axis for axis in long if spacings[axis] / finest < ALIKE]
    if len(fine) == 1 and sizes[fine[0]] < 3 * MIN_EDGE:
        return []
    return fine
