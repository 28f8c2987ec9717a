"""The part of a case that a picture shows: one slice, cut to where there is something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autodiffseg.workflows.overlay import fullest_slice

MARGIN, LEAST_MARGIN = 0.3, 6
"""Around what is shown: a share of its extent, and no fewer voxels than this."""

LabelMap = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class CaseSlice:
    """A rectangle of a slice across an axis."""

    axis: int
    index: int
    rows: slice
    columns: slice

    def of(self, volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """That part of a volume `(Z, Y, X, …)`."""
        shown: npt.NDArray[Any] = np.take(volume, self.index, axis=self.axis)[self.rows, self.columns]
        return shown


def find_slice(
    reference: LabelMap, predictions: Sequence[LabelMap], *, spacing_mm: Sequence[float], ignore: int | None
) -> CaseSlice:
    """The slice in which the predictions are wrong in most voxels, all together; without an error the fullest.

    It lies across the axis of the coarsest spacing, as the scan was made, and is cut to the foreground in it.

    Args:
        reference: `(Z, Y, X)`.
        predictions: of the same shape.
        spacing_mm: (z, y, x).
        ignore: the integer of voxels without annotation, which are never wrong.
    """
    axis = int(np.argmax(spacing_mm)) if reference.shape[0] > 1 else 0
    known = np.ones(reference.shape, dtype=bool) if ignore is None else reference != ignore
    across = tuple(other for other in range(3) if other != axis)
    wrong = np.zeros(reference.shape[axis], dtype=np.int64)
    for prediction in predictions:
        wrong += ((prediction != reference) & known).sum(axis=across)
    foreground = (reference > 0) & known
    index = int(wrong.argmax()) if wrong.any() else fullest_slice(foreground, axis)
    shown = np.take(foreground, index, axis=axis)
    for prediction in predictions:
        shown = shown | np.take(prediction > 0, index, axis=axis)
    rows, columns = (_extent(shown.any(axis=1 - side)) for side in (0, 1))
    return CaseSlice(axis, index, rows, columns)


def _extent(shown: npt.NDArray[np.bool_]) -> slice:
    """From the first to the last that is shown, with a margin; all when none is."""
    places = np.flatnonzero(shown)
    if not places.size:
        return slice(0, len(shown))
    first, last = int(places[0]), int(places[-1]) + 1
    margin = max(LEAST_MARGIN, round(MARGIN * (last - first)))
    return slice(max(0, first - margin), min(len(shown), last + margin))
