"""StepScores: the scores of every sampling step of several samples of the same cases, and what is read off them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autodiffseg.evaluation.statistics import Values, mean_of, std_of
from autodiffseg.evaluation.summary import Scores

METRICS = ("Dice", "HD95")
FOREGROUND = "foreground"
"""Name of the mean over the foreground classes or regions."""

CaseMetrics = Sequence[Sequence[Mapping[str, Scores]]]
"""Of one case, sample by sample and step by step: class key -> metric -> value."""


@dataclass(frozen=True)
class StepScores:
    """Dice and HD95 (mm) of every case, sample, step and class; NaN where prediction and reference are both empty."""

    classes: tuple[str, ...]
    """Names."""
    cases: tuple[str, ...]
    values: dict[str, Values]
    """Metric -> `(cases, samples, steps, classes)`."""
    first_step: int = 1
    """Number of the first step that was scored; 1 is the prediction from pure noise."""

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of the steps."""
        return tuple(range(self.first_step, self.first_step + self.values[METRICS[0]].shape[2]))

    @classmethod
    def collect(
        cls, classes: Mapping[str, str], scored: Mapping[str, CaseMetrics], *, first_step: int = 1
    ) -> StepScores:
        """Put the scores of cases together; `classes` is class key -> name."""
        values = {
            metric: np.array(
                [[[[step[key][metric] for key in classes] for step in sample] for sample in scored[c]] for c in scored],
                dtype=np.float64,
            )
            for metric in METRICS
        }
        return cls(tuple(classes.values()), tuple(scored), values, first_step)

    def foreground(self, metric: str) -> Values:
        """Mean over the classes that have a value, `(cases, samples, steps)`; NaN where none has one."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Mean of empty slice", category=RuntimeWarning)
            mean: Values = np.nanmean(self.values[metric], axis=3)
        return mean

    def series(self, metric: str) -> dict[str, Values]:
        """Of the foreground, then of every class if there are several: `(cases, samples, steps)`."""
        several = enumerate(self.classes) if len(self.classes) > 1 else ()
        return {
            FOREGROUND: self.foreground(metric),
            **{name: self.values[metric][..., index] for index, name in several},
        }


@dataclass(frozen=True)
class Curve:
    """One value per step; NaN where no case has one."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Sample standard deviation over cases."""


def curve(values: Values) -> Curve:
    """Mean and deviation over cases of `(cases, samples, steps)`; a case counts by the mean of its samples."""
    per_case = np.stack([[mean_of(step) for step in case.T] for case in values])  # (cases, steps)
    return Curve(tuple(mean_of(step) for step in per_case.T), tuple(std_of(step) for step in per_case.T))


def spread(values: Values) -> Curve:
    """How far the samples of a case lie apart at every step: largest minus smallest of `(cases, samples, steps)`.

    A case's difference is taken between its samples, and only then averaged over cases (the recycling paper's Table 4).
    Samples without a value are left out; a case with fewer than two has no difference.
    """
    count = np.sum(~np.isnan(values), axis=1)  # (cases, steps)
    largest = np.where(np.isnan(values), -np.inf, values).max(axis=1)
    smallest = np.where(np.isnan(values), np.inf, values).min(axis=1)
    with np.errstate(invalid="ignore"):  # infinities of cases without values
        apart = np.where(count >= 2, largest - smallest, np.nan)  # (cases, steps)
    return Curve(tuple(mean_of(step) for step in apart.T), tuple(std_of(step) for step in apart.T))
