"""Distances between the surfaces of two masks in mm: Hausdorff, its 95th percentile, and the mean.

The surface of a mask is its border voxels: those with a face neighbour outside the mask; what lies outside the image
counts as outside the mask. An axis of length 1 (z of a 2D image) makes no border. Distances run between voxel centres.

| prediction | reference | every distance here                                       |
|------------|-----------|-----------------------------------------------------------|
| empty      | empty     | NaN                                                       |
| empty      | not empty | the diagonal of the image in mm: finite, so means exist   |
| not empty  | empty     | the same                                                  |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.evaluation.mask_pair import Mask, MaskPair
from autodiffseg.evaluation.nearest import nearest_mm


class SurfaceDistances(NamedTuple):
    """Directed distances between two surfaces in mm; both arrays are empty where a mask is empty."""

    to_reference: npt.NDArray[np.float64]
    """From every border voxel of the prediction to the nearest one of the reference."""
    to_prediction: npt.NDArray[np.float64]
    """From every border voxel of the reference to the nearest one of the prediction."""
    undefined: float
    """What stands in for a distance where a mask is empty: NaN or the image diagonal in mm."""

    @property
    def hausdorff_mm(self) -> float:
        """The larger of the two directed maxima."""
        return self.percentile_mm(100)

    @property
    def hd95_mm(self) -> float:
        """The larger of the two directed 95th percentiles (not the percentile of both pooled, which is smaller)."""
        return self.percentile_mm(95)

    @property
    def mean_surface_distance_mm(self) -> float:
        """Mean over the border voxels of both masks (average symmetric surface distance)."""
        if not self.to_reference.size:
            return self.undefined
        return float(np.concatenate([self.to_reference, self.to_prediction]).mean())

    def percentile_mm(self, percent: float) -> float:
        """The larger of the two directed percentiles (linear between ranks; every border voxel weighs 1)."""
        if not self.to_reference.size:
            return self.undefined
        return float(max(np.percentile(side, percent) for side in (self.to_reference, self.to_prediction)))


def surface_distances(pair: MaskPair) -> SurfaceDistances:
    """Distances between the surfaces of two masks on one grid."""
    nothing = np.zeros(0)
    if pair.both_empty:
        return SurfaceDistances(nothing, nothing, undefined=math.nan)
    surfaces = [pair.coordinates(_border(mask)) for mask in (pair.prediction, pair.reference)]
    if not all(map(len, surfaces)):
        return SurfaceDistances(nothing, nothing, undefined=pair.diagonal_mm)
    prediction, reference = surfaces
    return SurfaceDistances(
        nearest_mm(prediction, reference, spacing_mm=pair.spacing_mm),
        nearest_mm(reference, prediction, spacing_mm=pair.spacing_mm),
        undefined=math.nan,
    )


def hd95_mm(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> float:
    """95 % Hausdorff distance of two `(Z, Y, X)` masks in mm."""
    return surface_distances(MaskPair.of(prediction, reference, spacing_mm=spacing_mm)).hd95_mm


def hausdorff_mm(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> float:
    """Hausdorff distance of two `(Z, Y, X)` masks in mm."""
    return surface_distances(MaskPair.of(prediction, reference, spacing_mm=spacing_mm)).hausdorff_mm


def mean_surface_distance_mm(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> float:
    """Average symmetric surface distance of two `(Z, Y, X)` masks in mm."""
    return surface_distances(MaskPair.of(prediction, reference, spacing_mm=spacing_mm)).mean_surface_distance_mm


def _border(mask: Mask) -> Mask:
    """Voxels with a face neighbour outside; the outermost planes are empty."""
    core = (slice(1, -1),) * mask.ndim
    inner = mask[core].copy()
    for axis in range(mask.ndim):
        for side in (slice(None, -2), slice(2, None)):
            inner &= mask[(*core[:axis], side, *core[axis + 1 :])]
    border = mask.copy()
    border[core] &= ~inner
    return border
