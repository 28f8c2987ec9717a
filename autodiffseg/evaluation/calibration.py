"""Calibration of probabilities: whether what is said with 80 % is right in 80 % of the voxels.

All functions take flat arrays, one value a voxel. *Confidence* is the probability of a statement, *hit* whether it is
true. For exclusive classes the statement is either "the likeliest class is the right one" (top label, one confidence a
voxel), or "this voxel is of class c" (one-versus-rest, for every class); for regions the latter alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

BINS = 20
LOWEST_PROBABILITY = 2.0**-24
"""The smallest float16 above zero, in which probabilities are saved: what they say is impossible costs 16.6 nats."""

Values = npt.NDArray[np.floating[Any]]
Hits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Reliability:
    """Voxels by confidence, in bins of one width over [0, 1]: what a reliability diagram shows.

    Those of several cases can be added.
    """

    voxels: npt.NDArray[np.int64]
    """`(bins,)`."""
    confidence: npt.NDArray[np.float64]
    """`(bins,)`: sum over the voxels of each bin."""
    hits: npt.NDArray[np.int64]
    """`(bins,)`: voxels of which the statement is true."""

    @classmethod
    def of(cls, confidence: Values, hit: Hits, *, bins: int = BINS) -> Self:
        """Sort voxels into bins; a confidence on an edge belongs to the bin above, 1 to the last."""
        places = np.minimum((confidence.astype(np.float64) * bins).astype(np.int64), bins - 1)
        return cls(
            np.bincount(places, minlength=bins),
            np.asarray(np.bincount(places, weights=confidence, minlength=bins), dtype=np.float64),
            np.bincount(places[hit], minlength=bins),
        )

    def __add__(self, other: Reliability) -> Reliability:
        """The voxels of both."""
        return Reliability(self.voxels + other.voxels, self.confidence + other.confidence, self.hits + other.hits)

    @property
    def gaps(self) -> npt.NDArray[np.float64]:
        """Hit rate minus mean confidence of every bin, `(bins,)`; above 0 is too modest; NaN where a bin is empty."""
        with np.errstate(invalid="ignore"):
            gaps: npt.NDArray[np.float64] = (self.hits - self.confidence) / self.voxels
        return gaps

    @property
    def ece(self) -> float:
        """Expected calibration error, Σ_b n_b/N · |hit rate_b - mean confidence_b|, in [0, 1]; NaN without voxels.

        Source: Naeini et al. 2015, AAAI 29; Guo et al. 2017, arXiv 1706.04599, eq. 3.
        """
        total = self.voxels.sum()
        return float(np.abs(self.hits - self.confidence).sum() / total) if total else math.nan

    @property
    def mce(self) -> float:
        """Maximum calibration error: the largest |gap| of a bin (Guo et al. 2017, eq. 5); NaN without voxels."""
        return float(np.nanmax(np.abs(self.gaps))) if self.voxels.any() else math.nan


def adaptive_ece(confidence: Values, hit: Hits, *, bins: int = BINS) -> float:
    """ECE over bins that hold the same number of voxels each; NaN without voxels.

    Most voxels are told with a confidence near 0 or 1, so that bins of one width leave all but the outermost nearly
    empty. Voxels of one confidence stay together, in the bin in which the middle of them falls; so the result does not
    depend on the order of the voxels.

    Source: Nguyen and O'Connor 2015, arXiv 1508.05154; Nixon et al. 2019, arXiv 1904.01685.
    """
    if not confidence.size:
        return math.nan
    levels, place, voxels = np.unique(confidence, return_inverse=True, return_counts=True)
    hits = np.bincount(place[hit], minlength=levels.size)
    middle = np.cumsum(voxels) - voxels / 2
    chosen = np.minimum((middle * (bins / confidence.size)).astype(np.int64), bins - 1)
    gaps = np.bincount(chosen, weights=hits - levels.astype(np.float64) * voxels, minlength=bins)
    return float(np.abs(gaps).sum() / confidence.size)


def binary_nll(probability: Values, truth: Hits) -> float:
    """Mean of -ln p where true and -ln(1 - p) where not, in nats; NaN without voxels.

    The negative log-likelihood of a yes or no (Good 1952). Probabilities below `LOWEST_PROBABILITY` count as that.
    """
    return nll(np.where(truth, probability, 1 - probability.astype(np.float32)))


def nll(of_truth: Values) -> float:
    """Mean of -ln p of the probability given to what is true, in nats; NaN without voxels."""
    if not of_truth.size:
        return math.nan
    return float(-np.log(np.maximum(of_truth.astype(np.float64), LOWEST_PROBABILITY)).mean())


def brier(probability: Values, truth: Hits) -> float:
    """Mean of (p - y)² with y 1 where true and 0 where not, in [0, 1]; NaN without voxels.

    One class's or region's share of Brier's score: his, Σ_c (p_c - y_c)² in [0, 2], is the sum over the classes.
    Source: Brier 1950, Monthly Weather Review 78.
    """
    return float(np.square(probability.astype(np.float64) - truth).mean()) if truth.size else math.nan
