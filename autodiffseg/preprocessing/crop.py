"""The nonzero mask of a case and the box around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Half-open voxel ranges along the three axes."""


def nonzero_mask(image: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Voxels that are not zero in at least one channel, with holes filled.

    A hole is a zero voxel from which no path over faces leads to the border of the array, so one slice alone has no
    holes: each of its voxels lies on the border. This is nnU-Net's rule.

    Args:
        image: `(C, Z, Y, X)`.

    Returns:
        `(Z, Y, X)` bool.
    """
    mask: npt.NDArray[np.bool_] = np.any(image != 0, axis=0)
    if min(mask.shape) < 3 or mask.all():
        return mask
    # Labelling the zeros takes one pass; scipy's binary_fill_holes dilates as often as the image is wide.
    zeros, count = ndimage.label(~mask)
    open_zeros = np.zeros(count + 1, dtype=bool)
    for axis in range(3):
        for side in (0, -1):
            open_zeros[np.unique(zeros.take(side, axis=axis))] = True
    filled: npt.NDArray[np.bool_] = mask | ~open_zeros[zeros]
    return filled


def mask_box(mask: npt.NDArray[np.bool_]) -> Box:
    """The smallest box that holds every true voxel; the whole array when there is none.

    acvl-utils has the same, but importing it costs every worker the seconds that torch needs to load.
    """
    within = [np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    z, y, x = (
        (int(places[0]), int(places[-1]) + 1) if places.size else (0, length)
        for places, length in zip(within, mask.shape, strict=True)
    )
    return z, y, x


def box_slices(box: Box) -> tuple[slice, slice, slice]:
    """The box as an index of a `(Z, Y, X)` array."""
    z, y, x = box
    return slice(*z), slice(*y), slice(*x)
