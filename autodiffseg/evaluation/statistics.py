"""Paired statistics: Wilcoxon's test, Holm's adjustment, bootstrap intervals."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

FEWEST_PAIRS = 6
"""With five pairs the smallest two-sided p-value is 2/2^5 = 0.0625: such a test cannot reach 0.05."""


class PairedTest(NamedTuple):
    """Result of a paired test: a p-value, or the reason why there is none."""

    p: float | None
    pairs: int
    """Pairs of which both values exist."""
    reason: str = ""
    effect: float | None = None
    """Matched-pairs rank-biserial correlation, -1 to 1: see `rank_biserial`."""


class Interval(NamedTuple):
    """A mean and the ends of its bootstrap interval; NaN where there are no values."""

    mean: float
    low: float
    high: float


def paired_wilcoxon(values: Values, baseline: Values) -> PairedTest:
    """Wilcoxon's signed-rank test, two-sided; equal pairs take part by Pratt's rule.

    Pairs in which a value is NaN are left out.

    Source: Wilcoxon 1945; Pratt 1959 (doi 10.1080/01621459.1959.10501526); computed by SciPy.
    """
    from scipy import stats

    differences = np.asarray(values) - np.asarray(baseline)
    differences = differences[~np.isnan(differences)]
    pairs = differences.size
    if pairs < FEWEST_PAIRS:
        return PairedTest(None, pairs, f"{pairs} pairs are too few for a test ({FEWEST_PAIRS} are needed)")
    if not differences.any():
        return PairedTest(1.0, pairs, effect=0.0)
    p = float(stats.wilcoxon(differences, zero_method="pratt").pvalue)
    return PairedTest(p, pairs, effect=rank_biserial(differences))


def rank_biserial(differences: Values) -> float:
    """Effect size of Wilcoxon's test: the rank sum of positive less that of negative differences, over their sum.

    1 where every pair that differs is positive, 0 where the two sides balance; ranks are those of Pratt's rule.
    Source: Kerby 2014, The simple difference formula (doi 10.2466/11.IT.3.1).

    Args:
        differences: `(n,)`, without NaN, not all zero.
    """
    from scipy import stats

    ranks = stats.rankdata(np.abs(differences))
    signed = np.sign(differences) * ranks
    return float(signed.sum() / np.abs(signed).sum())


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust the p-values of a family so that the chance of any false finding in it stays below the level.

    Step-down: the k-th smallest of m is multiplied by m - k + 1, made monotone and cut at 1. None (no test) stays None
    and does not count. Source: Holm 1979, Scandinavian Journal of Statistics 6.
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[index] = largest
    return adjusted


def group_means(values: Values, groups: Sequence[Hashable]) -> Values:
    """Mean of every group over its values that are not NaN, groups in order of appearance; NaN where it has none."""
    members: dict[Hashable, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        members.setdefault(group, []).append(float(value))
    return np.array([mean_of(np.array(part)) for part in members.values()])


def mean_of(values: Values) -> float:
    """Mean of the values that are not NaN; NaN when there are none."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def none_if_nan(value: float) -> float | None:
    """What JSON says of a number: null where there is none, for it knows no NaN."""
    return None if np.isnan(value) else value


def std_of(values: Values) -> float:
    """Sample standard deviation (n - 1) of the values that are not NaN; NaN for fewer than two."""
    present = values[~np.isnan(values)]
    return float(present.std(ddof=1)) if present.size > 1 else float("nan")


def bootstrap_mean(
    values: Values,
    groups: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    samples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of a mean; give differences of pairs for the interval of a paired difference.

    Args:
        values: `(n,)`; NaN is left out.
        groups: one per value (patient, site). Groups are drawn, not values, and a group counts by its mean: values of
            one patient are not independent.
        seed: of the drawing.
        samples: bootstrap samples.
        level: share of the bootstrap means between the ends.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    units = group_means(values, groups) if groups is not None else np.asarray(values)
    units = units[~np.isnan(units)]
    if not units.size:
        return Interval(float("nan"), float("nan"), float("nan"))
    generator = np.random.default_rng(seed)
    rows = max(1, 1_000_000 // units.size)  # drawn in blocks of some MB
    means = [
        units[generator.integers(units.size, size=(min(rows, samples - start), units.size))].mean(axis=1)
        for start in range(0, samples, rows)
    ]
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(float(units.mean()), float(low), float(high))


def bootstrap_means(
    values: Values, *, seed: int = 0, samples: int = 10_000, level: float = 0.95
) -> tuple[Interval, ...]:
    """`bootstrap_mean` of several columns at once, on the same draws of rows.

    Args:
        values: `(units, columns)`. A row without a value in a column is drawn like the others and adds nothing to that
            column.
        seed: of the drawing.
        samples: bootstrap samples.
        level: share of the bootstrap means between the ends.
    """
    count = len(values)
    known = ~np.isnan(values)
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    if not count:
        return tuple(nothing for _ in values.T)
    drawn = _drawn(count, samples, seed)  # (samples, units)
    weights = drawn @ known
    with np.errstate(invalid="ignore"):  # samples in which a column has no value
        means = (drawn @ np.where(known, values, 0)) / weights  # (samples, columns)
    tail = (1 - level) / 2
    found = []
    for column, present in zip(means.T, known.T, strict=True):
        if not present.any():
            found.append(nothing)
            continue
        low, high = np.nanquantile(column, [tail, 1 - tail])
        found.append(Interval(float(values[present, len(found)].mean()), float(low), float(high)))
    return tuple(found)


@functools.lru_cache(maxsize=1)
def _drawn(count: int, samples: int, seed: int) -> Values:
    """How often each of `count` rows is drawn in each bootstrap sample, `(samples, count)`."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=samples).astype(np.float64)
