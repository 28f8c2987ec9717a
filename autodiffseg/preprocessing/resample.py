"""Resampling of images, label maps and probabilities to another grid over the same extent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

ANISOTROPY = 3.0  # a voxel more than three times as long as it is wide is resampled slice by slice (nnU-Net)

Shape = Sequence[int]


def target_shape(shape: Shape, spacing: Sequence[float], new_spacing: Sequence[float]) -> tuple[int, ...]:
    """Voxels of a grid with `new_spacing` (mm) over the same extent: at least one along each axis."""
    return tuple(
        max(1, round(voxels * old / new)) for voxels, old, new in zip(shape, spacing, new_spacing, strict=True)
    )


def separate_axis(spacing: Sequence[float], new_spacing: Sequence[float]) -> int | None:
    """The axis along which slices are resampled on their own, or None.

    nnU-Net's rule: where the spacing before (else after) spans more than a factor of three, it is the single axis
    with the largest spacing. Interpolating across such thick slices would invent structure.

    Args:
        spacing: of the grid that is resampled, mm.
        new_spacing: of the grid that is wanted, mm.
    """
    for candidate in (spacing, new_spacing):
        if max(candidate) / min(candidate) > ANISOTROPY:
            thick = [axis for axis, value in enumerate(candidate) if value == max(candidate)]
            return thick[0] if len(thick) == 1 else None
    return None


def resample_image(
    image: npt.NDArray[np.floating[Any]], new_shape: Shape, *, separate: int | None, order: int = 3
) -> npt.NDArray[np.float32]:
    """Resample each channel by splines.

    Args:
        image: `(C, Z, Y, X)`.
        new_shape: voxels along (z, y, x).
        separate: axis that is resampled by the nearest slice, the other two by splines; from `separate_axis`.
        order: of the spline, 0 to 5.

    Returns:
        `(C, *new_shape)` float32.
    """
    if image.shape[1:] == tuple(new_shape):
        return image.astype(np.float32)

    def spline(channel: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
        return _resize(channel, shape, order)

    resampled = np.empty((len(image), *new_shape), dtype=np.float32)
    for place, channel in zip(resampled, image, strict=True):
        place[...] = _resample(channel.astype(np.float32, copy=False), new_shape, separate, spline)
    return resampled


def resample_label(label: npt.NDArray[Any], new_shape: Shape, *, separate: int | None) -> npt.NDArray[Any]:
    """Resample a label map `(Z, Y, X)`: each class linearly, then the largest wins; same number type.

    A tie goes to the class of the nearest voxel. With `separate` that axis takes the nearest slice.
    """
    if label.shape == tuple(new_shape):
        return label.copy()
    # Half a second to import, and most cases of an isotropic dataset need none of it.
    from batchgenerators.augmentations.utils import resize_segmentation

    def vote(part: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
        result: npt.NDArray[Any] = resize_segmentation(part, tuple(shape), order=1)
        return result

    return _resample(label, new_shape, separate, vote)


def resample_probability(channel: npt.NDArray[np.float32], new_shape: Shape) -> npt.NDArray[np.float32]:
    """Resample one channel of probabilities `(Z, Y, X)` linearly along every axis.

    nnU-Net takes the nearest slice along a separate axis here too, which doubles slices when the case is finer than
    the plan. Linear weights keep probabilities in [0, 1] and their sum over channels.
    """
    if channel.shape == tuple(new_shape):
        return channel.astype(np.float32)
    return _resize(channel.astype(np.float32, copy=False), new_shape, order=1)


def _resample(array: npt.NDArray[Any], new_shape: Shape, separate: int | None, resize: Any) -> npt.NDArray[Any]:
    """Resize `(Z, Y, X)` as a whole, or slice by slice along `separate` and by the nearest slice across."""
    if separate is None:
        whole: npt.NDArray[Any] = resize(array, tuple(new_shape))
        return whole
    in_plane = tuple(length for axis, length in enumerate(new_shape) if axis != separate)
    slices = np.moveaxis(array, separate, 0)
    wanted = nearest_slices(len(slices), new_shape[separate])
    resized = slices
    if slices.shape[1:] != in_plane:
        # A slice that is not wanted is not resized, one that is wanted twice only once.
        made = {int(index): resize(slices[index], in_plane) for index in np.unique(wanted)}
        return np.stack([made[int(index)] for index in wanted], axis=separate)
    return np.ascontiguousarray(np.moveaxis(resized[wanted], 0, separate))


def nearest_slices(old: int, new: int) -> npt.NDArray[np.intp]:
    """For each of `new` slices the nearest of `old` ones over the same extent: voxel centres, halves upwards."""
    found: npt.NDArray[np.intp] = np.minimum(np.floor((np.arange(new) + 0.5) * (old / new)).astype(np.intp), old - 1)
    return found


def _resize(array: npt.NDArray[Any], shape: Shape, order: int) -> npt.NDArray[np.float32]:
    # Importing skimage costs a fifth of a second that cases on the right grid do not need.
    from skimage.transform import resize

    resized = resize(array, tuple(shape), order=order, mode="edge", anti_aliasing=False, preserve_range=True)
    return np.asarray(resized, dtype=np.float32)
