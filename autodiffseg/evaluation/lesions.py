"""Lesion-wise detection: which connected components of the reference are found, and which of the prediction are right.

A lesion is a connected component, joined over faces, edges and corners. One of the prediction and one of the reference
match when their IoU is at least 0.1; each may be matched once, and as many pairs are matched as can be.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from autodiffseg.evaluation.mask_pair import Mask, MaskPair

LEAST_IOU = 0.1
"""Of a matched pair: low enough for small lesions, whose outlines are mostly border, and above a mere touch."""


class LesionCounts(NamedTuple):
    """Lesions of one class in one case."""

    predicted: int
    reference: int
    matched: int

    @property
    def precision(self) -> float:
        """Matched share of the predicted lesions; NaN when there are none."""
        return self.matched / self.predicted if self.predicted else math.nan

    @property
    def recall(self) -> float:
        """Matched share of the reference's lesions; NaN when there are none."""
        return self.matched / self.reference if self.reference else math.nan

    @property
    def f1(self) -> float:
        """2 matched / (predicted + reference); NaN when there are none of either, 0 when there are of one alone."""
        both = self.predicted + self.reference
        return 2 * self.matched / both if both else math.nan


def count_lesions(pair: MaskPair) -> LesionCounts:
    """Count and match the lesions of two masks."""
    (ours, predicted), (theirs, known) = (_components(mask) for mask in (pair.prediction, pair.reference))
    together = pair.prediction & pair.reference
    if not together.any():
        return LesionCounts(predicted, known, 0)
    # Pairs that overlap, numbered row by row of a matrix of predicted and reference lesions.
    numbers, shared = np.unique(ours[together].astype(np.int64) * (known + 1) + theirs[together], return_counts=True)
    rows, columns = np.divmod(numbers, known + 1)
    union = np.bincount(ours.ravel())[rows] + np.bincount(theirs.ravel())[columns] - shared
    match = shared / union >= LEAST_IOU
    pairs = (np.ones(int(match.sum()), dtype=np.int8), (rows[match] - 1, columns[match] - 1))
    graph = sparse.csr_array(pairs, shape=(predicted, known))
    return LesionCounts(predicted, known, int((maximum_bipartite_matching(graph) >= 0).sum()))


def _components(mask: Mask) -> tuple[npt.NDArray[np.int32], int]:
    """Number of the component of every voxel (0 outside), and how many there are."""
    labelled, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return labelled, int(count)
