"""Fingerprint: what the planner needs to know of a dataset, and nothing that it decides."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from autodiffseg.records import Record


class IntensityStatistics(Record):
    """Statistics of one channel over foreground voxels pooled from all cases, each case weighing the same."""

    mean: float
    median: float
    std: float = Field(ge=0)
    min: float
    max: float
    percentile_00_5: float
    percentile_99_5: float


class Spread(Record):
    """The least, the middle and the greatest of many numbers."""

    min: float
    median: float
    max: float


class ComponentStatistics(Record):
    """Connected components of one class or region (over faces, edges and corners), in the cases that have it."""

    per_case: Spread
    """Components of a case."""
    voxels: Spread
    """Size of a component: the smallest of all, the median over cases of a case's median, the largest of all."""
    volume_mm3: Spread
    """The same in mm³."""


class LeakageCurve(Record):
    """How much of the label a noised label gives away, over the log signal-to-noise ratio log ᾱ/(1-ᾱ)."""

    log_snr: tuple[float, ...]
    """Rising."""
    leaked: tuple[float, ...]
    """0: no more than guessing; 1: the whole label. The mean over classes."""

    @model_validator(mode="after")
    def _one_number_each(self) -> Self:
        if len(self.log_snr) != len(self.leaked) or not self.log_snr:
            raise ValueError(f"{len(self.log_snr)} values of log_snr for {len(self.leaked)} of leaked; one each")
        if any(low >= high for low, high in zip(self.log_snr, self.log_snr[1:], strict=False)):
            raise ValueError("log_snr must rise")
        return self


class LabelLeakage(Record):
    """The leakage curve and what it was measured on."""

    curve: LeakageCurve
    dice: dict[str, tuple[float, ...]]
    """Class or region -> Dice against the label of what smoothing and argmax make of the noised label."""
    chance: dict[str, float]
    """Class or region -> the Dice of guessing."""
    blocks: int
    """Pieces of training cases that were looked at."""
    block_voxels: int
    """The most that a piece may have."""


class Fingerprint(Record):
    """A dataset in numbers. Per-case lists are in the order of `cases`; arrays are (z, y, x), spacing in mm."""

    schema_version: Literal[2] = 2
    dataset: str
    cases: tuple[str, ...]
    spacings: tuple[tuple[float, float, float], ...]
    shapes: tuple[tuple[int, int, int], ...]
    """Before cropping."""
    shapes_after_crop: tuple[tuple[int, int, int], ...]
    median_relative_size_after_cropping: float
    left_right_axes: tuple[int, ...] = ()
    """Per case the raw axis (0 is z, 1 y, 2 x) nearest to the patient's left-right; empty when nobody looked."""
    intensities: tuple[IntensityStatistics, ...]
    """One per channel."""
    class_frequencies: dict[str, float]
    """Foreground class or region -> mean fraction of a cropped case's voxels, in [0, 1]."""
    class_presence: dict[str, tuple[bool, ...]]
    """Foreground class or region -> per case whether it has any voxel of it."""
    components: dict[str, ComponentStatistics] = {}
    """Foreground class or region -> its components; classes that no case has are left out."""
    leakage: LabelLeakage | None = None
    """None when nobody looked."""
    raw_hash: str
    """Over the names, sizes and contents of the raw files: a changed dataset is noticed."""
