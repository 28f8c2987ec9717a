"""The values of every case that figures and tables of a comparison show."""

from __future__ import annotations

import math

import numpy as np

from autodiffseg.evaluation.comparison import Comparison, Entrant
from autodiffseg.evaluation.metrics import Metric
from autodiffseg.evaluation.paired_scores import foreground_means
from autodiffseg.evaluation.statistics import Values


def case_columns(comparison: Comparison, entrant: Entrant, metric: Metric) -> Values:
    """`(cases, classes + 1)`: means over trainings of every class, and last of the foreground; one column for one."""
    values = entrant.values(comparison.cases, list(comparison.classes), metric.name)
    parts = [values] if len(comparison.classes) > 1 else []
    together = np.concatenate([*parts, foreground_means(values)[:, :, None]], axis=2)  # (trainings, cases, columns)
    return foreground_means(together.transpose(1, 2, 0))


def best_rival(comparison: Comparison, metric: Metric) -> Entrant | None:
    """The entrant with the best mean among those that are not the baseline; None when there is none with a mean."""
    means = {
        entrant.name: comparison.score(entrant.name, metric.name).mean
        for entrant in comparison.entrants
        if entrant.name != comparison.baseline
    }
    known = {name: badness(value, metric) for name, value in means.items() if not math.isnan(value)}
    if not known:
        return None
    best = min(known, key=lambda name: known[name])
    return next(entrant for entrant in comparison.entrants if entrant.name == best)


def badness(value: float, metric: Metric) -> float:
    """A number that grows as a value of the metric gets worse."""
    return {"more": -value, "less": value, "zero": abs(value)}[metric.better]
