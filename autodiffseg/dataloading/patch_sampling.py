"""Where a training patch lies: pure functions of a random generator, and the read of one box.

A *box* is three half-open ranges `(start, stop)` in voxels of the preprocessed case; it may reach beyond the case. A
2D patch is a box one slice thick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from numpy.random import Generator

Box = tuple[tuple[int, int], ...]

FOREGROUND_SHARE = 1 / 3
"""Part of a batch that must show foreground (nnU-Net). Small structures are hardly seen without it."""


def forced_foreground(batch_size: int, rng: Generator) -> list[bool]:
    """Which samples of a batch are centred on a foreground voxel: the last ones, as in nnU-Net.

    The number is rounded so that a batch of two has one. A batch of one, for which nnU-Net's rule would never force
    any, is forced with probability 1/3.
    """
    if batch_size == 1:
        return [bool(rng.random() < FOREGROUND_SHARE)]
    free = round(batch_size * (1 - FOREGROUND_SHARE))
    return [index >= free for index in range(batch_size)]


def draw_voxel(locations: Sequence[npt.NDArray[np.integer]], rng: Generator) -> tuple[int, ...] | None:
    """A foreground voxel: its class uniform among those present, then uniform among that class's voxels.

    Args:
        locations: `(n, 3)` voxels of each class; none of an absent one.

    Returns:
        The voxel (z, y, x), or None when the case has no foreground.
    """
    present = [voxels for voxels in locations if len(voxels)]
    if not present:
        return None
    voxels = present[rng.integers(len(present))]
    return tuple(int(position) for position in voxels[rng.integers(len(voxels))])


def draw_box(shape: Sequence[int], patch_size: Sequence[int], voxel: tuple[int, ...] | None, rng: Generator) -> Box:
    """The box of a patch: centred on `voxel` as far as the case reaches, or anywhere when there is none.

    Along an axis on which the case is at least as long as the patch, the patch stays inside the case. On a shorter
    axis it holds the whole case, at any offset: nnU-Net centres such cases, but a shift costs nothing and shows the
    network more.

    Args:
        shape: of the case (z, y, x), voxels.
        patch_size: two or three numbers, voxels; two give a box one slice thick.
        voxel: (z, y, x) to be shown, or None.
        rng: draws the position.
    """
    sizes = (1,) * (3 - len(patch_size)) + tuple(patch_size)
    starts = []
    for axis, (length, size) in enumerate(zip(shape, sizes, strict=True)):
        first, last = min(0, length - size), max(0, length - size)
        if voxel is None:
            starts.append(int(rng.integers(first, last + 1)))
        else:
            starts.append(min(max(voxel[axis] - size // 2, first), last))
    return tuple((start, start + size) for start, size in zip(starts, sizes, strict=True))


def widen(box: Box, margin: Sequence[int]) -> Box:
    """The box grown by `margin` voxels on both sides of its last axes; negative margins shrink it."""
    margins = (0,) * (len(box) - len(margin)) + tuple(margin)
    return tuple((start - more, stop + more) for (start, stop), more in zip(box, margins, strict=True))


def read_box(array: Any, box: Box, *, padding: int) -> npt.NDArray[Any]:
    """Read one box of `(N, Z, Y, X)`, with `padding` where it reaches beyond the array.

    Args:
        array: numpy or blosc2 array; of the latter only the blocks that the box touches are decompressed.
        box: three ranges, voxels.
        padding: the value outside.

    Returns:
        A new array `(N, *box)`, never a view.
    """
    sizes = [stop - start for start, stop in box]
    if any(stop <= 0 or start >= length for (start, stop), length in zip(box, array.shape[1:], strict=True)):
        # acvl-utils gives zeros here, whatever the padding.
        return np.full((array.shape[0], *sizes), padding, dtype=array.dtype)
    return np.array(crop_and_pad_nd(array, [list(side) for side in box], pad_value=padding))
