"""Normalised surface Dice: how much of two surfaces lies within a tolerance of the other, by area.

| prediction | reference | surface Dice |
|------------|-----------|--------------|
| empty      | empty     | NaN          |
| one of them is empty   | 0            |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.evaluation.mask_pair import Mask, MaskPair
from autodiffseg.evaluation.nearest import nearest_mm
from autodiffseg.evaluation.surface_elements import surface_elements

SLACK = 1e-6
"""Fraction by which a distance may exceed the tolerance: image files hold their spacing in single precision, and one
voxel of 0.8 mm, read as 0.800000012 mm, lies within 0.8 mm."""


class WeighedDistances(NamedTuple):
    """Distances between the surface elements of two masks; the arrays are empty where a mask is empty."""

    distances_mm: npt.NDArray[np.float64]
    """Of the elements of both surfaces, each to the nearest of the other."""
    areas: npt.NDArray[np.float64]
    """Of the same elements, mm² (3D) or mm (2D)."""
    undefined: float
    """What stands in for the surface Dice where a mask is empty: NaN or 0."""

    def surface_dice(self, tolerance_mm: float) -> float:
        """Share of the area of both surfaces that is no further than `tolerance_mm` from the other one, 0 to 1."""
        if not self.areas.size:
            return self.undefined
        within = self.distances_mm <= tolerance_mm * (1 + SLACK)
        return float(self.areas[within].sum() / self.areas.sum())


def weighed_distances(pair: MaskPair) -> WeighedDistances:
    """Distances between the surface elements of two masks, from cell to cell, with their areas."""
    nothing = np.zeros(0)
    if pair.both_empty:
        return WeighedDistances(nothing, nothing, undefined=math.nan)
    ours, theirs = (surface_elements(pair, mask) for mask in (pair.prediction, pair.reference))
    if not len(ours.cells) or not len(theirs.cells):
        return WeighedDistances(nothing, nothing, undefined=0.0)
    distances = [
        nearest_mm(ours.cells, theirs.cells, spacing_mm=pair.spacing_mm),
        nearest_mm(theirs.cells, ours.cells, spacing_mm=pair.spacing_mm),
    ]
    return WeighedDistances(np.concatenate(distances), np.concatenate([ours.areas, theirs.areas]), undefined=math.nan)


def surface_dice(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float], tolerance_mm: float) -> float:
    """Normalised surface Dice of two `(Z, Y, X)` masks at a tolerance in mm."""
    return weighed_distances(MaskPair.of(prediction, reference, spacing_mm=spacing_mm)).surface_dice(tolerance_mm)
