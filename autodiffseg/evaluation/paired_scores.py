"""Score: what a comparison says of one metric of one entrant, alone and against the baseline."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autodiffseg.evaluation.difference import Difference
from autodiffseg.evaluation.seed_bootstrap import FEWEST_SEEDS, bootstrap_over_seeds
from autodiffseg.evaluation.statistics import (
    Interval,
    PairedTest,
    Values,
    bootstrap_means,
    group_means,
    mean_of,
    paired_wilcoxon,
    std_of,
)

BASELINE = PairedTest(None, 0, "baseline")


@dataclass(frozen=True)
class Score:
    """Over units: cases or groups, each by its mean over trainings."""

    mean: float
    std: float
    """Sample standard deviation over units."""
    interval: Interval
    """95 % bootstrap interval of the mean, over units; with three or more trainings over these too."""
    units: int
    """That have a value."""
    difference: Interval
    """Of the pairs, less the baseline; NaN for the baseline itself."""
    test: PairedTest
    over_trainings: bool
    """Whether `difference` speaks of training anew: both sides have three or more trainings."""
    on_par: bool
    """Of Dice: the interval of the difference lies within half a point of zero, and pairs are enough for a test."""
    p_adjusted: float | None = None


def foreground_means(values: Values) -> Values:
    """Mean over the classes that have a value: `(trainings, cases, classes)` -> `(trainings, cases)`."""
    return _mean_of_known(values, axis=2)


def score_columns(values: Values, baseline: Values | None, groups: Sequence[str] | None, *, metric: str) -> list[Score]:
    """The score of every column.

    Args:
        values: `(trainings, cases, columns)`.
        baseline: the same of the baseline, with trainings of its own; None for the baseline itself.
        groups: of the cases.
        metric: name.
    """
    ours = _units(values, groups)  # (trainings, units, columns)
    theirs = None if baseline is None else _units(baseline, groups)
    means = _over_trainings(ours)  # (units, columns)
    intervals = bootstrap_means(means)
    paired = None if theirs is None else means - _over_trainings(theirs)
    differences = None if paired is None else bootstrap_means(paired)
    many = len(ours) >= FEWEST_SEEDS
    both_many = theirs is not None and many and len(theirs) >= FEWEST_SEEDS
    scores = []
    for column, mean in enumerate(means.T):
        interval = bootstrap_over_seeds(ours[:, :, column]) if many else intervals[column]
        difference, test = Interval(np.nan, np.nan, np.nan), BASELINE
        if theirs is not None and differences is not None:
            seeds = (ours[:, :, column], theirs[:, :, column])
            difference = bootstrap_over_seeds(*seeds) if both_many else differences[column]
            test = paired_wilcoxon(mean, _over_trainings(theirs)[:, column])
        known = int((~np.isnan(mean)).sum())
        on_par = metric == "Dice" and Difference(difference, test).on_par
        scores.append(Score(mean_of(mean), std_of(mean), interval, known, difference, test, both_many, on_par))
    return scores


def _units(values: Values, groups: Sequence[str] | None) -> Values:
    """`(trainings, cases, columns)` -> `(trainings, units, columns)`."""
    if groups is None:
        return values
    return np.array([[group_means(column, groups) for column in training.T] for training in values]).swapaxes(1, 2)


def _over_trainings(values: Values) -> Values:
    """Mean over the trainings that have a value: `(trainings, units, columns)` -> `(units, columns)`."""
    return _mean_of_known(values, axis=0)


def _mean_of_known(values: Values, axis: int) -> Values:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice", category=RuntimeWarning)
        means: Values = np.nanmean(values, axis=axis)
    return means
