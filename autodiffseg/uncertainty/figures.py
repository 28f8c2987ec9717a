"""The figures of one case: from its entropies, its label map and those of its samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from autodiffseg.evaluation.foreground_band import foreground_band
from autodiffseg.evaluation.overlap import LabelMap
from autodiffseg.evaluation.statistics import none_if_nan
from autodiffseg.geometry import Geometry
from autodiffseg.labels import LabelSpec
from autodiffseg.uncertainty.case_uncertainty import CaseUncertainty, ClassUncertainty
from autodiffseg.uncertainty.conformal import volume_interval
from autodiffseg.uncertainty.entropy_split import EntropySplit
from autodiffseg.uncertainty.map_files import PARTS, TOTAL
from autodiffseg.uncertainty.sample_agreement import SampleAgreement
from autodiffseg.uncertainty.volume_errors import VolumeErrors


def case_uncertainty(
    case: str,
    split: EntropySplit,
    label: LabelMap,
    agreement: SampleAgreement,
    geometry: Geometry,
    spec: LabelSpec,
    errors: VolumeErrors,
    *,
    models: int,
) -> CaseUncertainty:
    """Means of entropies, and the size of every class.

    Args:
        case: its name.
        split: `(Z, Y, X)` each.
        label: the answer, `(Z, Y, X)` integers.
        agreement: of the label maps of the samples; of none where there is one sample alone.
        geometry: of the image.
        spec: what the integers mean.
        errors: of the models on their cross-validation cases.
        models: how many were averaged.
    """
    band = foreground_band((label > 0) | agreement.foreground(label.shape))
    voxels = int(band.sum())
    unit, size = unit_of(geometry)
    drawn, dice = agreement.voxels(), agreement.pairwise_dice()
    classes = {}
    for name, members in spec.foreground.items():
        volume = size * int(np.isin(label, members).sum())
        low, high = volume_interval(volume, errors.quantiles[name]) if name in errors.quantiles else (None, None)
        classes[name] = ClassUncertainty(
            volume=volume,
            smallest_sample=size * min(drawn[name]) if drawn[name] else None,
            largest_sample=size * max(drawn[name]) if drawn[name] else None,
            low=low,
            high=None if high == math.inf else high,
            dice_between_samples=none_if_nan(dice[name]),
        )
    return CaseUncertainty(
        case=case,
        models=models,
        samples=max(1, agreement.samples),
        band_voxels=voxels,
        entropy_band=_means(split, band) if voxels else None,
        entropy_image=_means(split, np.ones_like(band)),
        unit=unit,
        classes=classes,
        interval=errors.told,
    )


def unit_of(geometry: Geometry) -> tuple[str, float]:
    """The unit in which classes are measured, and how much of it a voxel is; a 2D image has no thickness."""
    z, y, x = geometry.spacing
    return ("mm2", y * x) if geometry.dimensions == 2 else ("ml", z * y * x / 1000)


def _means(split: EntropySplit, inside: npt.NDArray[np.bool_]) -> dict[str, float]:
    parts: dict[str, float] = {part: _mean(volume, inside) for part, volume in zip(PARTS, split, strict=True)}
    return {TOTAL: math.fsum(parts.values()), **parts}


def _mean(volume: npt.NDArray[np.floating[Any]], inside: npt.NDArray[np.bool_]) -> float:
    return float(volume.mean(dtype=np.float64, where=inside))
