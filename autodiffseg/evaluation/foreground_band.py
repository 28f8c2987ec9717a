"""The band around a foreground: where a segmentation can be wrong at all, without the sea of easy background."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

BAND_VOXELS = 3
PLANES = 16
"""Of an image that are looked at together."""


def foreground_band(foreground: npt.NDArray[np.bool_], *, voxels: int = BAND_VOXELS) -> npt.NDArray[np.bool_]:
    """The foreground and all voxels whose centre is at most `voxels` voxels from one of it (Euclidean, not mm).

    Args:
        foreground: `(Z, Y, X)` bool; of several label maps their union.
        voxels: width; 0 gives the foreground itself.

    Returns:
        `(Z, Y, X)` bool; empty where the foreground is.
    """
    band = np.zeros_like(foreground)
    boxes = ndimage.find_objects(foreground.astype(np.uint8))
    if not boxes:
        return band
    box = tuple(slice(max(0, side.start - voxels), side.stop + voxels) for side in boxes[0])
    inner, found = foreground[box], band[box]
    # A distance map takes ten times the memory of an image; what is near lies in planes that are near.
    for first in range(0, len(inner), PLANES):
        low, high = max(0, first - voxels), min(len(inner), first + PLANES + voxels)
        if inner[low:high].any():
            near = ndimage.distance_transform_edt(~inner[low:high]) <= voxels
            found[first : first + PLANES] = near[first - low : first - low + PLANES]
    return band


def distance_to_other_labels(label: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
    """Distance in voxels from every voxel to the nearest one of another label; infinite where there is no other.

    Its inverse is the simplest uncertainty there is: a label map's own boundary is where its errors are.
    """
    distance = np.full(label.shape, np.inf, dtype=np.float32)
    values = np.unique(label)
    for value in values if len(values) > 1 else ():
        inside = label == value
        distance[inside] = ndimage.distance_transform_edt(inside)[inside]
    return distance
