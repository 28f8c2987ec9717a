"""How much memory a process needs for one case, estimated from the header of its image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.images import read_geometry, read_number_of_channels
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.preprocessor import target_grid
from autodiffseg.preprocessing.resample import separate_axis

BASE_BYTES = 250e6
"""A worker with everything imported that resampling takes; 226 MB were measured."""
MARGIN = 1.15
"""On the sum of the arrays, for what the allocator keeps; without it the estimate was up to 4 % too low."""
SPLINE_PAD = 12
"""Voxels that scipy adds on every side before it filters (order 3, mode `nearest`)."""
LOOKED_AT = 8
"""Cases whose headers are read: the largest files. A header takes a millisecond, and there may be thousands."""


class CaseSize(NamedTuple):
    """What the header of a case tells."""

    channels: int
    shape: tuple[int, int, int]
    """Voxels (z, y, x) of the raw image."""
    spacing: tuple[float, float, float]
    """mm."""


def largest_cases(images: Iterable[Sequence[Path]]) -> list[CaseSize]:
    """Sizes of the cases that take most room on disk, eight at most; unreadable ones are left to those who read them.

    Args:
        images: the files of each case, one per channel.
    """
    sized = sorted(((sum(map(_bytes, files)), tuple(files)) for files in images if files), reverse=True)
    found = []
    for _, files in sized[:LOOKED_AT]:
        try:
            geometry = read_geometry(files[0])
            channels = len(files) * (read_number_of_channels(files[0]) if len(files) == 1 else 1)
        except UserError:
            continue
        found.append(CaseSize(channels, geometry.shape, geometry.spacing))
    return found


def reading_bytes(sizes: Iterable[CaseSize]) -> float:
    """Peak memory of a process that reads one of these cases with its label and takes statistics of the foreground.

    The image as float32 and once more while its channels are put together; four arrays of one channel beside it.
    """
    arrays = (math.prod(size.shape) * (8 * size.channels + 16) for size in sizes)
    return BASE_BYTES + MARGIN * max(arrays, default=0)


def preprocessing_bytes(sizes: Iterable[CaseSize], plan: Plan, configuration: str) -> float:
    """Peak memory of a process that preprocesses one of these cases; what the crop saves is not known beforehand."""
    return BASE_BYTES + MARGIN * max((_arrays(size, plan, configuration) for size in sizes), default=0)


def _arrays(size: CaseSize, plan: Plan, configuration: str) -> float:
    """Bytes of the arrays that live together at the worst moment of `preprocess_case`."""
    settings = plan.configuration(configuration)
    shape = tuple(size.shape[axis] for axis in plan.transpose)
    before = tuple(size.spacing[axis] for axis in plan.transpose)
    new_shape, after = target_grid(shape, before, settings)  # type: ignore[arg-type]
    raw, new, channels = math.prod(shape), math.prod(new_shape), size.channels
    kept = raw * (4 * channels + 3)  # raw image, label and mask stay until the end
    # One channel is copied; what its mask holds, and that again, are there while its deviation is taken.
    normalising = raw * (4 * channels + 12)
    # Where half of the voxels are foreground: their flat indices and values beside the label.
    listing = new * (4 * channels + 16)
    if new_shape == shape:
        return kept + max(normalising, raw * 4 * channels + listing)
    apart = 0 if settings.dimensions == 2 else separate_axis(before, after)
    # What is interpolated at once: the case, or a slice of it; then the new slices are held beside the whole.
    old_part, new_part = list(shape), list(new_shape)
    if apart is not None:
        old_part[apart] = new_part[apart] = 1
    gathered = 0 if apart is None else 4 * new
    padded = math.prod(length + 2 * SPLINE_PAD if length > 1 else 1 for length in old_part)
    # A channel, padded in float32 and filtered in float64, and its new self.
    spline = raw * 4 * channels + 12 * padded + new * 4 * channels + gathered + 4 * math.prod(new_part)
    # One class at a time in float64, its share, the largest share so far, and maps of the winner.
    voting = raw * 2 + 8 * math.prod(old_part) + new * (4 * channels + 2) + gathered + 24 * math.prod(new_part)
    return kept + max(normalising, spline, voting, listing)


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
