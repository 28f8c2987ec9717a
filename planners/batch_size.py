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

    nnU-Net's rule, with two bounds more (docs/planning.md): a small dataset does not cut a batch of slices below 12
    while memory lasts, and beyond 128 slices or 32 volumes more samples buy nothing.

    Args:
        patch: voxels, 2 or 3 axes.
        elements: of all convolution outputs of one sample.
        median_shape: of the whole cases at the target spacing, three axes, also for 2D.
        cases: how many the dataset has.
    """
    limits = preset.limits(len(patch))
    by_memory = round(limits.budget / elements * limits.budget_batch)
    by_dataset = round(math.prod(median_shape) * cases * preset.dataset_share / math.prod(patch))
    useful = min(max(by_dataset, limits.small_dataset_batch), limits.max_batch)
    return BatchPlan(max(min(by_memory, useful), limits.min_batch), by_memory, by_dataset)
