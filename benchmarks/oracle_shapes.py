"""Pairs of random shapes on anisotropic grids, on which metrics are compared with those of other libraries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

PAIRS = 200
EVERY_2D = 4
"""Every fourth pair is a 2D image."""

Mask = npt.NDArray[np.bool_]


class ShapePair(NamedTuple):
    """A prediction and a reference, neither of them empty."""

    prediction: Mask
    """`(Z, Y, X)`; Z = 1 for a 2D image."""
    reference: Mask
    spacing_mm: tuple[float, float, float]
    """(z, y, x), of single precision as in image files; 1 along z for a 2D image."""
    tolerance_mm: float


def shape_pairs() -> Iterator[ShapePair]:
    """The pairs, always the same: blobs against moved and stretched blobs, some rough, some with islands or cut off.

    Only `Generator.random` is drawn from: its stream has not changed between versions of numpy.
    """
    for number in range(PAIRS):
        rng = np.random.default_rng(number)
        flat = number % EVERY_2D == 3
        shape = np.array([1 if flat else 12, 16, 20]) + (0 if flat else 1) + np.floor(rng.random(3) * 14).astype(int)
        shape[0] = 1 if flat else shape[0]
        spacing = np.float32(0.5 * 10 ** rng.random(3))  # 0.5 to 5 mm
        spacing[0] = 1 if flat else spacing[0]
        grid = np.indices(shape).astype(np.float64)
        centres = [shape * (0.15 + 0.7 * rng.random(3)) for _ in range(1 + number % 3)]
        radii = [np.maximum(shape * (0.1 + 0.3 * rng.random(3)), 1.2) for _ in centres]
        reference = _blobs(grid, centres, radii, flat=flat)
        moved = [centre + 4 * (rng.random(3) - 0.5) for centre in centres]
        stretched = [radius * (0.8 + 0.5 * rng.random(3)) for radius in radii]
        prediction = _blobs(grid, moved, stretched, flat=flat)
        if number % 5 < 2:  # rough: every neighbourhood of 2 x 2 x 2 voxels occurs
            prediction ^= rng.random(prediction.shape) < 0.03 * (1 + number % 5 * 4)
        if number % 7 == 0:
            prediction[tuple(np.floor(rng.random(3) * shape).astype(int))] = True
        prediction[0, 0, 0] |= not prediction.any()
        reference[0, -1, -1] |= not reference.any()
        tolerance = float(spacing[1 if flat else 0 :].mean() * (0.5 + rng.random()))
        yield ShapePair(prediction, reference, tuple(map(float, spacing)), tolerance)


def _blobs(
    grid: npt.NDArray[np.float64],
    centres: list[npt.NDArray[np.float64]],
    radii: list[npt.NDArray[np.float64]],
    *,
    flat: bool,
) -> Mask:
    """Union of ellipsoids; those that reach over the edge of the image are cut off there."""
    mask = np.zeros(grid.shape[1:], dtype=bool)
    axes = slice(1, None) if flat else slice(None)
    for centre, radius in zip(centres, radii, strict=True):
        distances = ((grid[axes] - centre[axes, None, None, None]) / radius[axes, None, None, None]) ** 2
        mask |= distances.sum(axis=0) <= 1
    return mask
