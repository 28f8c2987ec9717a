"""The low resolution of large cases: where a patch sees too little of a case, the spacing grows until it does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .patch import PatchPlan, plan_patch
from .presets import Preset

WANTED_SHARE = 0.25
"""Of the median case: below it a patch lacks context (nnU-Net)."""
WORTHWHILE = 2.0
"""A low resolution with less than this factor fewer voxels is not worth a training of its own (nnU-Net)."""
STEP = 1.03
"""Factor by which the spacing grows in each round."""
ALIKE = 2.0
"""An axis more than this factor finer than the coarsest grows first."""
MOST_ROUNDS = 400
"""Coarser by 1.03^400, a factor of 137,000: no case needs as many, and a loop that cannot end is ended."""


class LowresPlan(NamedTuple):
    """What came of the search. Without `patch` there is no low resolution, and the other fields say why."""

    share: float
    """Of the median case at full resolution that the full resolution's patch covers, in [0, 1] or above."""
    spacing: tuple[float, ...]
    """mm, at which the search ended."""
    median_shape: tuple[float, ...]
    """Of the cases at that spacing, voxels with fractions."""
    fewer: float
    """How many times fewer voxels that is than at full resolution."""
    patch: PatchPlan | None


def plan_lowres(
    spacing: Sequence[float], median_shape: Sequence[float], patch: Sequence[int], *, channels: int, preset: Preset
) -> LowresPlan:
    """Search the finest spacing at which a patch covers a quarter of the median case.

    The finer axes grow first, until none is more than twice as fine as the coarsest; then all grow together.

    Args:
        spacing: of the full resolution, mm, three axes.
        median_shape: of the cases there, voxels.
        patch: of the full resolution, voxels.
        channels: outputs of the network.
        preset: bounds on memory, voxels and depth.
    """
    share = math.prod(patch) / math.prod(median_shape)
    coarser = list(spacing)
    shape = list(median_shape)
    found: PatchPlan | None = None
    covered = share
    for _ in range(MOST_ROUNDS):
        if covered >= WANTED_SHARE:
            break
        largest = max(coarser)
        fine = [largest / value > ALIKE for value in coarser]
        coarser = [
            value * STEP if grows or not any(fine) else value for value, grows in zip(coarser, fine, strict=True)
        ]
        shape = [old * length / new for old, length, new in zip(spacing, median_shape, coarser, strict=True)]
        found = plan_patch(coarser, [max(1, round(length)) for length in shape], channels=channels, preset=preset)
        covered = math.prod(found.topology.patch) / math.prod(shape)
    fewer = math.prod(median_shape) / math.prod(shape)
    kept = found if fewer >= WORTHWHILE else None
    return LowresPlan(share, tuple(coarser), tuple(shape), fewer, kept)
