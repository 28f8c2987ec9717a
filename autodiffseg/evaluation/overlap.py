"""Overlap of two label maps: voxel counts, Dice and IoU per class or region."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.labels import LabelSpec

LabelMap = npt.NDArray[np.integer[Any]]


class Overlap(NamedTuple):
    """Voxels of one class, prediction against reference; voxels that the reference ignores are in none of them."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n_pred(self) -> int:
        """Voxels of the prediction."""
        return self.tp + self.fp

    @property
    def n_ref(self) -> int:
        """Voxels of the reference."""
        return self.tp + self.fn

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN where both masks are empty, 0 where one is."""
        total = self.n_pred + self.n_ref
        return 2 * self.tp / total if total else math.nan

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN); NaN where both masks are empty, 0 where one is."""
        union = self.tp + self.fp + self.fn
        return self.tp / union if union else math.nan

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN), also called recall; NaN where the reference is empty."""
        return self.tp / self.n_ref if self.n_ref else math.nan

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN where the prediction is empty."""
        return self.tp / self.n_pred if self.n_pred else math.nan

    @property
    def specificity(self) -> float:
        """TN / (TN + FP); NaN where the reference fills the image."""
        negatives = self.tn + self.fp
        return self.tn / negatives if negatives else math.nan


def class_overlaps(prediction: LabelMap, reference: LabelMap, spec: LabelSpec) -> dict[str, Overlap]:
    """Overlap of every foreground class or region, by its name, in the order of `spec.foreground`.

    Args:
        prediction: `(Z, Y, X)` integers.
        reference: `(Z, Y, X)` integers; where it is `spec.ignore` nothing is counted.
        spec: what the integers mean. Integers that it does not know belong to no class.
    """
    values = sorted(spec.values)
    counts = confusion(prediction, reference, values)
    if spec.ignore is not None:
        counts[:, values.index(spec.ignore)] = 0
    total = int(counts.sum())
    overlaps = {}
    for name, members in spec.foreground.items():
        inside = [values.index(member) for member in members]
        tp = int(counts[np.ix_(inside, inside)].sum())
        n_pred, n_ref = int(counts[inside].sum()), int(counts[:, inside].sum())
        overlaps[name] = Overlap(tp=tp, fp=n_pred - tp, fn=n_ref - tp, tn=total - n_pred - n_ref + tp)
    return overlaps


def confusion(prediction: LabelMap, reference: LabelMap, values: list[int]) -> npt.NDArray[np.int64]:
    """Voxels by predicted value (rows) and reference value (columns): `(n + 1, n + 1)`, the last for other values.

    One pass over the voxels, whatever the number of classes; slice by slice, so that it needs no memory to speak of.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
    size, top = len(values) + 1, max(values)
    lookup = np.full(top + 2, size - 1)
    lookup[values] = np.arange(size - 1)
    counts = np.zeros(size * size, dtype=np.int64)
    for rows, columns in zip(prediction, reference, strict=True):
        # Whatever lies outside 0..top is clipped onto the last entry of the lookup: -1 and top + 1 both name it.
        row, column = (lookup[np.clip(part.astype(np.int64), -1, top + 1)] for part in (rows, columns))
        counts += np.bincount((row * size + column).ravel(), minlength=size * size)
    return counts.reshape(size, size)


def label_values(label: LabelMap) -> set[int]:
    """The integers that occur in a label map; counting is much faster than the sorting of `numpy.unique`."""
    low = int(label.min())
    return {low + int(index) for index in np.flatnonzero(np.bincount(label.ravel().astype(np.int64) - low))}
