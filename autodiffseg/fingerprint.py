"""Fingerprint: what the planner needs to know of a dataset, and nothing that it decides."""

from __future__ import annotations

from autodiffseg.records import Record


class IntensityStatistics(Record):
    """Statistics of one channel over foreground voxels pooled from all cases, each case weighing the same."""

    mean: float
    median: float
    std: float
    min: float
    max: float
    percentile_00_5: float
    percentile_99_5: float


class Fingerprint(Record):
    """A dataset in numbers. Per-case lists are in the order of `cases`; arrays are (z, y, x), spacing in mm."""

    schema_version: int = 1
    dataset: str
    cases: tuple[str, ...]
    spacings: tuple[tuple[float, float, float], ...]
    shapes: tuple[tuple[int, int, int], ...]
    """Before cropping."""
    shapes_after_crop: tuple[tuple[int, int, int], ...]
    median_relative_size_after_cropping: float
    intensities: tuple[IntensityStatistics, ...]
    """One per channel."""
    class_frequencies: dict[str, float]
    """Foreground class or region -> mean fraction of a cropped case's voxels, in [0, 1]."""
    class_presence: dict[str, int]
    """Foreground class or region -> number of cases that have any voxel of it."""
    raw_hash: str
    """Over the names, sizes and contents of the raw files: a changed dataset is noticed."""
