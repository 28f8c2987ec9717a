"""Whether an uncertainty finds errors: AUROC voxel by voxel, rank correlation case by case."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

FEWEST_CASES = 6
"""A rank correlation of fewer cases says nothing."""


def auroc(uncertainty: npt.NDArray[np.floating[Any]], error: npt.NDArray[np.bool_]) -> float:
    """Area under the receiver operating characteristic of an uncertainty as a detector of errors.

    The probability that a wrong voxel drawn at random has a higher uncertainty than a right one, equal ones counting
    one half: the Mann-Whitney statistic U / (n₁ n₀), by the ranks (Hanley and McNeil 1982, Radiology 143). 0.5 is
    guessing. It asks for the order alone, so any rising function of the uncertainty gives the same.

    Args:
        uncertainty: one value a voxel; may be infinite, not NaN.
        error: where the prediction is wrong.

    Returns:
        In [0, 1]; NaN where no voxel or every voxel is wrong.
    """
    wrong = int(error.sum())
    right = error.size - wrong
    if not wrong or not right:
        return math.nan
    _, level, voxels = np.unique(uncertainty, return_inverse=True, return_counts=True)
    errors = np.bincount(level[error], minlength=voxels.size)
    below = np.cumsum(voxels - errors) - (voxels - errors)  # right voxels of lower uncertainty
    return float((errors * (below + (voxels - errors) / 2)).sum() / (wrong * right))


def spearman(uncertainty: npt.NDArray[np.float64], score: npt.NDArray[np.float64]) -> float:
    """Spearman's rank correlation of two values a case, in [-1, 1]; pairs with a NaN are left out.

    A case's mean uncertainty with its Dice: near -1 when the uncertainty ranks the cases by how bad they are. NaN for
    fewer than six pairs and where one of the two does not vary. Source: Spearman 1904; computed by SciPy.
    """
    from scipy import stats

    both = ~(np.isnan(uncertainty) | np.isnan(score))
    a, b = uncertainty[both], score[both]
    if a.size < FEWEST_CASES or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(stats.spearmanr(a, b).statistic)
