"""Connected components of a class, a region or the whole foreground of a label map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Box = tuple[slice, ...]


def value_boxes(label: npt.NDArray[np.integer[Any]]) -> list[Box | None]:
    """The bounding box of every value 1, 2, … of a label map `(Z, Y, X)`, None for a value that it lacks.

    One pass over the volume, however many values there are.
    """
    from scipy import ndimage

    boxes: list[Box | None] = ndimage.find_objects(label)
    return boxes


def box_around(boxes: Sequence[Box | None], values: Iterable[int]) -> Box | None:
    """The smallest box around some values; None when the label map has none of them."""
    own = [box for value in values if 0 < value <= len(boxes) and (box := boxes[value - 1]) is not None]
    if not own:
        return None
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*own, strict=True))


def number_components(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The components of a mask `(Z, Y, X)`; voxels that share a face, an edge or a corner belong together.

    Returns:
        `(Z, Y, X)` with 0 outside and 1, 2, … in the components; and the voxels of each component.
    """
    from scipy import ndimage

    numbered, count = ndimage.label(mask, np.ones((3,) * mask.ndim, dtype=bool))
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    return numbered, sizes.astype(np.int64)
