"""Comparison: several runs on exactly the same cases, with paired tests against a baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autodiffseg.errors import UserError
from autodiffseg.evaluation.statistics import (
    Interval,
    PairedTest,
    Values,
    bootstrap_mean,
    group_means,
    holm,
    mean_of,
    paired_wilcoxon,
    std_of,
)
from autodiffseg.evaluation.summary import CaseScores

METRICS = {"Dice": True, "HD95": False}
"""Metric -> whether more is better."""


@dataclass(frozen=True)
class Entrant:
    """One run in the comparison: its scores by case, and what it cost."""

    name: str
    cases: Mapping[str, CaseScores]
    cost: Mapping[str, str]
    """Column -> text, for the table."""


@dataclass(frozen=True)
class MetricResult:
    """One metric of one entrant over the common cases."""

    mean: float
    std: float
    per_class: dict[str, float]
    difference: Interval
    """Paired difference to the baseline, over units."""
    test: PairedTest
    p_adjusted: float | None


@dataclass(frozen=True)
class Comparison:
    """The finished comparison."""

    classes: dict[str, str]
    cases: tuple[str, ...]
    baseline: str
    grouped: bool
    entrants: tuple[Entrant, ...]
    results: dict[str, dict[str, MetricResult]]
    """Entrant -> metric -> result."""
    left_out: tuple[str, ...]
    """What was not compared, in sentences."""

    def best(self, value: Callable[[dict[str, MetricResult]], float], *, more_is_better: bool) -> set[str]:
        """The entrants with the best value, to four digits; none when there is only one entrant."""
        values = {name: round(value(result), 4) for name, result in self.results.items()}
        present = [number for number in values.values() if not math.isnan(number)]
        if len(self.entrants) < 2 or not present:
            return set()
        top = max(present) if more_is_better else min(present)
        return {name for name, number in values.items() if number == top}


def compare(
    entrants: Sequence[Entrant],
    classes: dict[str, str],
    *,
    baseline: str,
    group: Callable[[str], str] | None = None,
    left_out: Sequence[str] = (),
) -> Comparison:
    """Compare entrants over the cases that all of them have; each of them has scores of all `classes`.

    The unit is a case's mean over foreground classes; with `group` (case -> patient or site) the group's mean. Tests
    are against `baseline`; Holm's adjustment is over the rows, within one metric.

    Raises:
        UserError: when there is no common case, no such baseline, or a class that an entrant has no score of.
    """
    for entrant in entrants:
        for case in entrant.cases.values():
            if not set(classes) <= set(case.metrics):
                raise UserError(
                    f"{entrant.name} has no score of every class in {case.case}; score it on the same classes."
                )
    if baseline not in {entrant.name for entrant in entrants}:
        raise UserError(f"Baseline '{baseline}' is not among {', '.join(entrant.name for entrant in entrants)}.")
    common = sorted(set.intersection(*(set(entrant.cases) for entrant in entrants)))
    if not common:
        names = ", ".join(entrant.name for entrant in entrants)
        raise UserError(f"{names} have validated no case in common; validate the same folds.")
    notes = list(left_out)
    for entrant in entrants:
        extra = len(entrant.cases) - len(common)
        if extra:
            notes.append(f"{extra} of {len(entrant.cases)} cases of {entrant.name}, which not all have validated.")
    groups = [group(case) for case in common] if group is not None else None
    results: dict[str, dict[str, MetricResult]] = {entrant.name: {} for entrant in entrants}
    for metric in METRICS:
        scores = {entrant.name: _case_means(entrant, common, list(classes), metric) for entrant in entrants}
        units = {name: group_means(values, groups) if groups else values for name, values in scores.items()}
        tests = {name: paired_wilcoxon(values, units[baseline]) for name, values in units.items() if name != baseline}
        adjusted = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
        for entrant in entrants:
            name = entrant.name
            results[name][metric] = MetricResult(
                mean=mean_of(units[name]),
                std=std_of(units[name]),
                per_class={key: _class_mean(entrant, common, key, metric) for key in classes},
                difference=bootstrap_mean(units[name] - units[baseline]),
                test=tests.get(name, PairedTest(None, 0, "baseline")),
                p_adjusted=adjusted.get(name),
            )
    return Comparison(classes, tuple(common), baseline, groups is not None, tuple(entrants), results, tuple(notes))


def _case_means(entrant: Entrant, cases: Sequence[str], keys: Sequence[str], metric: str) -> Values:
    """Each case's mean over the classes that it has a value for, `(cases,)`."""
    return np.array([mean_of(np.array([entrant.cases[case].metrics[key][metric] for key in keys])) for case in cases])


def _class_mean(entrant: Entrant, cases: Sequence[str], key: str, metric: str) -> float:
    return mean_of(np.array([entrant.cases[case].metrics[key][metric] for case in cases]))
