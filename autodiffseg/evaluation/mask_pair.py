"""MaskPair: two masks of one class without the empty planes between and around their parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class MaskPair:
    """Prediction and reference on the planes that hold any of either, and one plane on each side of those.

    What looks at neighbours alone (surfaces, connected components) finds on these small arrays what it would find on
    the image, also where a stray island lies far away: two parts with an empty plane between them keep one. The first
    and the last plane of each axis are empty, so what lies outside the image is outside the mask. Axes of length 1 (z
    of a 2D image) are left out.
    """

    prediction: Mask
    """`(planes of axis 0, …)`, 1 to 3 axes."""
    reference: Mask
    """The same shape."""
    planes: tuple[Places, ...]
    """Of every axis, where each plane lies in the image; -1 and its length are the planes beyond it."""
    spacing_mm: tuple[float, ...]
    """Of these axes."""
    diagonal_mm: float
    """Of the image: no distance in it is longer."""

    @classmethod
    def of(
        cls,
        prediction: Mask,
        reference: Mask,
        *,
        spacing_mm: Sequence[float],
        start: Sequence[int] = (0, 0, 0),
        shape: Sequence[int] | None = None,
    ) -> MaskPair:
        """Cut out what the masks hold.

        Args:
            prediction: `(Z, Y, X)`, or a box of an image.
            reference: the same shape.
            spacing_mm: mm along (z, y, x).
            start: of the box in the image, voxels.
            shape: of the image, where the masks are a box of it.
        """
        if prediction.shape != reference.shape:
            raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
        whole = tuple(shape or prediction.shape)
        axes = long_axes(whole)
        spacing = tuple(float(spacing_mm[axis]) for axis in axes)
        flat = tuple(prediction.shape[axis] for axis in axes)
        masks = [mask.reshape(flat) for mask in (prediction, reference)]
        either = masks[0] | masks[1]
        planes, sources, targets = [], [], []
        for axis, size in enumerate(flat):
            others = tuple(other for other in range(len(flat)) if other != axis)
            occupied = np.pad(either.any(axis=others), 2)
            kept = np.flatnonzero(occupied[:-2] | occupied[1:-1] | occupied[2:]) - 1
            inside = (kept >= 0) & (kept < size)
            sources.append(kept[inside])
            targets.append(np.flatnonzero(inside))
            planes.append(kept + start[axes[axis]])
        small = []
        for mask in masks:
            part = np.zeros([len(places) for places in planes], dtype=bool)
            part[np.ix_(*targets)] = mask[np.ix_(*sources)]
            small.append(part)
        return cls(small[0], small[1], tuple(planes), spacing, image_diagonal_mm(whole, spacing_mm))

    @property
    def both_empty(self) -> bool:
        """Whether neither mask has a voxel."""
        return not self.prediction.any() and not self.reference.any()

    def coordinates(self, mask: Mask) -> Places:
        """`(n, axes)`: where the True elements of an array on these planes lie in the image, voxels."""
        return np.stack([places[index] for places, index in zip(self.planes, np.nonzero(mask), strict=True)], axis=1)


def image_diagonal_mm(shape: Sequence[int], spacing_mm: Sequence[float]) -> float:
    """Length of the image's diagonal in mm: no distance inside it is longer. A 2D image has no extent along z."""
    return math.hypot(*(shape[axis] * spacing_mm[axis] for axis in long_axes(shape)))


def long_axes(shape: Sequence[int]) -> list[int]:
    """The axes of more than one voxel; of a single voxel the last."""
    return [axis for axis, size in enumerate(shape) if size > 1] or [len(shape) - 1]
