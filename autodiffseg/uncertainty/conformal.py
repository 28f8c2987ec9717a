"""Split conformal intervals of a volume, from the errors that a model made on cases it was not trained on.

Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; in the form of Lei et al. 2018,
arXiv 1604.04173, algorithm 2. If the new case and the n known ones are exchangeable, the interval holds the true volume
with probability at least 1 - α, whatever the model and the distribution: over the drawing of all n + 1 cases together,
not for every kind of case by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

FEWEST_CASES = 20
"""Fewer known errors give no interval: its width would hang on one or two cases."""
MISCOVERAGE = 0.1
"""α: the share of cases whose true volume may lie outside."""


def relative_error(predicted: float, reference: float) -> float:
    """|reference - predicted| / predicted: the score of one case.

    Relative, because errors of volumes grow with them; to the predicted volume, which is known of a new case. 0 where
    both are 0, infinite where only the reference is there.
    """
    if predicted > 0:
        return abs(reference - predicted) / predicted
    return math.inf if reference > 0 else 0.0


def conformal_quantile(scores: Sequence[float], *, miscoverage: float = MISCOVERAGE) -> float:
    """The ⌈(n + 1)(1 - α)⌉-th smallest of n scores; infinite where that is beyond n.

    It is the ⌈(n + 1)(1 - α)⌉/n quantile of the scores: a little above their 1 - α quantile, since the new case is one
    of n + 1.
    """
    if not 0 < miscoverage < 1:
        raise ValueError(f"miscoverage is {miscoverage}; it lies between 0 and 1")
    rank = math.ceil(round((len(scores) + 1) * (1 - miscoverage), 9))  # 0.9 · 30 is 27.000000000000004
    return math.inf if rank > len(scores) else float(np.sort(np.asarray(scores, dtype=np.float64))[rank - 1])


def volume_interval(volume: float, quantile: float) -> tuple[float, float]:
    """The volumes whose relative error is at most `quantile`, cut at 0; in the unit of `volume`."""
    if volume == 0:
        return (0.0, math.inf) if math.isinf(quantile) else (0.0, 0.0)
    return max(0.0, volume * (1 - quantile)), volume * (1 + quantile)
