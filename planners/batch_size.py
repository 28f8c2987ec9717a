"""Batch size: what the memory budget leaves, but never much of a small dataset at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .presets import Preset


class BatchPlan(NamedTuple):
    """The batch size and what it comes from."""

    size: int
    by_memory: int
    """Samples that fill the budget."""
    by_dataset: int
    """Samples that hold 5 % of the dataset's voxels."""


def plan_batch(
    patch: Sequence[int], *, elements: int, median_shape: Sequence[float], cases: int, preset: Preset
) -> BatchPlan:
    """The smaller of what memory allows and 5 % of the dataset, within the preset's bounds.

    Args:
        patch: voxels, 2 or 3 axes.
        elements: of all convolution outputs of one sample.
        median_shape: of the whole cases at the target spacing, three axes, also for 2D.
        cases: how many the dataset has.
    """
    limits = preset.limits(len(patch))
    by_memory = round(limits.budget / elements * limits.budget_batch)
    by_dataset = round(math.prod(median_shape) * cases * preset.dataset_share / math.prod(patch))
    size = max(min(by_memory, by_dataset), limits.min_batch)
    return BatchPlan(min(size, limits.max_batch or size), by_memory, by_dataset)
