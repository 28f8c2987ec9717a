"""Target spacing and the order of axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ANISOTROPY = 3.0  # nnU-Net: beyond this ratio of spacings and of shapes an axis counts as anisotropic
FINE_PERCENTILE = 10


def target_spacing(
    spacings: Sequence[tuple[float, float, float]], shapes: Sequence[tuple[int, int, int]]
) -> tuple[float, float, float]:
    """The spacing (mm) to which all cases are resampled.

    The median per axis. Where one axis is anisotropic, both in spacing and in shape, the median would blur the
    finer cases: its 10th percentile is taken, but not finer than the other axes.

    Args:
        spacings: per case, (z, y, x) mm.
        shapes: per case after cropping, voxels.
    """
    table = np.array(spacings, dtype=float)
    target = np.median(table, axis=0)
    shape = np.median(np.array(shapes, dtype=float), axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != worst]
    coarsest_other = float(target[others].max())
    if target[worst] > ANISOTROPY * coarsest_other and shape[worst] * ANISOTROPY < shape[others].min():
        finer = float(np.percentile(table[:, worst], FINE_PERCENTILE))
        target[worst] = finer if finer >= coarsest_other else max(coarsest_other, finer) + 1e-5
    return (float(target[0]), float(target[1]), float(target[2]))


def transpose_order(
    spacing: tuple[float, float, float], shapes: Sequence[tuple[int, int, int]]
) -> tuple[int, int, int]:
    """Raw axes in the order in which everything after reading works: the out-of-plane axis first.

    That is the axis with the largest target spacing, or the axis along which the cases are one voxel thick: images
    without depth are 2D whatever spacing their file claims for the missing axis.
    """
    median_shape = np.median(np.array(shapes, dtype=float), axis=0)
    thin = [axis for axis in range(3) if median_shape[axis] == 1]
    first = thin[0] if thin else int(np.argmax(spacing))
    second, third = (axis for axis in range(3) if axis != first)
    return (first, second, third)


def median_shape_at(
    spacing: Sequence[float],
    spacings: Sequence[tuple[float, float, float]],
    shapes: Sequence[tuple[int, int, int]],
) -> tuple[float, ...]:
    """Median over cases of the voxels per axis after resampling to `spacing` (mm); may end in .5, is never below 1."""
    resampled = np.round(np.array(shapes, dtype=float) * np.array(spacings, dtype=float) / np.array(spacing)).clip(1)
    return tuple(float(value) for value in np.median(resampled, axis=0))
