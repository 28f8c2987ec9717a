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
from scipy import ndimage

Mask = npt.NDArray[np.bool_]


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


def surface_distances(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Distances between the surfaces of two masks on one grid.

    Args:
        prediction: `(Z, Y, X)` bool.
        reference: `(Z, Y, X)` bool.
        spacing_mm: mm along (z, y, x).
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
    diagonal_mm = image_diagonal_mm(prediction.shape, spacing_mm)
    axes = _long_axes(prediction.shape)
    spacing = [spacing_mm[axis] for axis in axes]
    shape = [prediction.shape[axis] for axis in axes]
    # Beyond the box around both masks there is only outside: the cropped transforms give the same distances.
    box = ndimage.find_objects((prediction | reference).reshape(shape).astype(np.uint8))
    if not box:
        nothing = np.zeros(0)
        return SurfaceDistances(nothing, nothing, undefined=math.nan)
    borders = [_border(mask.reshape(shape)[box[0]]) for mask in (prediction, reference)]
    if not all(border.any() for border in borders):
        nothing = np.zeros(0)
        return SurfaceDistances(nothing, nothing, undefined=diagonal_mm)
    to_prediction, to_reference = (ndimage.distance_transform_edt(~border, sampling=spacing) for border in borders)
    return SurfaceDistances(to_reference[borders[0]], to_prediction[borders[1]], undefined=math.nan)


def hd95_mm(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> float:
    """95 % Hausdorff distance of two `(Z, Y, X)` masks in mm."""
    return surface_distances(prediction, reference, spacing_mm=spacing_mm).hd95_mm


def hausdorff_mm(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> float:
    """Hausdorff distance of two `(Z, Y, X)` masks in mm."""
    return surface_distances(prediction, reference, spacing_mm=spacing_mm).hausdorff_mm


def mean_surface_distance_mm(prediction: Mask, reference: Mask, *, spacing_mm: Sequence[float]) -> float:
    """Average symmetric surface distance of two `(Z, Y, X)` masks in mm."""
    return surface_distances(prediction, reference, spacing_mm=spacing_mm).mean_surface_distance_mm


def image_diagonal_mm(shape: Sequence[int], spacing_mm: Sequence[float]) -> float:
    """Length of the image's diagonal in mm: no distance inside it is longer. A 2D image has no extent along z."""
    return math.hypot(*(shape[axis] * spacing_mm[axis] for axis in _long_axes(shape)))


def _long_axes(shape: Sequence[int]) -> list[int]:
    return [axis for axis, size in enumerate(shape) if size > 1] or [len(shape) - 1]


def _border(mask: Mask) -> Mask:
    border: Mask = mask & ~ndimage.binary_erosion(mask)
    return border
