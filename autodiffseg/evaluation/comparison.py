"""Comparison: several entrants on exactly the same cases, with paired tests against a baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autodiffseg.errors import UserError
from autodiffseg.evaluation.metrics import find_metric
from autodiffseg.evaluation.paired_scores import Score, foreground_means, score_columns
from autodiffseg.evaluation.statistics import Values, holm
from autodiffseg.evaluation.summary import CaseScores

SHOWN = ("Dice", "HD95", "NSD@1mm")
"""Metrics of a comparison where none are named, as far as all entrants have them."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Entrant:
    """One row of the comparison: its scores by case, and what it cost."""

    name: str
    cases: Mapping[str, CaseScores]
    cost: Mapping[str, str]
    """Column -> text, for the table."""
    more_trainings: tuple[Mapping[str, CaseScores], ...] = ()
    """Of a method that was trained several times: the scores of its other trainings."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What comparison.json tells of it: where it lies, how it was made."""

    @property
    def trainings(self) -> tuple[Mapping[str, CaseScores], ...]:
        """Scores by case of every training; one for most entrants."""
        return (self.cases, *self.more_trainings)

    def values(self, cases: Sequence[str], keys: Sequence[str], metric: str) -> Values:
        """`(trainings, cases, classes)`, NaN where there is none."""
        rows = [[[scored[case].metrics[key][metric] for key in keys] for case in cases] for scored in self.trainings]
        return np.array(rows, dtype=np.float64)

    def has(self, metric: str) -> bool:
        """Whether every case and class has a score of this metric, be it NaN."""
        return all(
            metric in scores
            for scored in self.trainings
            for case in scored.values()
            for scores in case.metrics.values()
        )


@dataclass(frozen=True)
class MetricResult:
    """One metric of one entrant over the common cases."""

    foreground: Score
    """Of a unit's mean over foreground classes."""
    classes: dict[str, Score]
    """By class key."""


@dataclass(frozen=True)
class Comparison:
    """The finished comparison."""

    classes: dict[str, str]
    cases: tuple[str, ...]
    metrics: tuple[str, ...]
    baseline: str
    groups: tuple[str, ...] | None
    """The group of every case, where cases belong to groups."""
    entrants: tuple[Entrant, ...]
    results: dict[str, dict[str, MetricResult]]
    """Entrant -> metric -> result."""
    left_out: tuple[str, ...]
    """What was not compared, in sentences."""

    @property
    def units(self) -> int:
        """Cases, or groups of cases."""
        return len(set(self.groups)) if self.groups is not None else len(self.cases)

    def best(self, metric: str, key: str | None = None) -> set[str]:
        """The entrants with the best mean, to the digits that are shown; none when there is only one entrant."""
        shown = find_metric(metric)
        values = {name: round(self.score(name, metric, key).mean, shown.digits) for name in self.results}
        present = {name: value for name, value in values.items() if not math.isnan(value)}
        if len(self.entrants) < 2 or not present:
            return set()
        place: Callable[[float], float] = {"more": lambda x: -x, "less": lambda x: x, "zero": abs}[shown.better]
        top = min(map(place, present.values()))
        return {name for name, value in present.items() if place(value) == top}

    def score(self, entrant: str, metric: str, key: str | None = None) -> Score:
        """The score of the foreground, or of a class."""
        result = self.results[entrant][metric]
        return result.foreground if key is None else result.classes[key]

    def differs(self, entrant: str, metric: str, key: str | None = None) -> bool:
        """Whether an entrant differs from the baseline at the 5 % level, after adjustment."""
        p = self.score(entrant, metric, key).p_adjusted
        return p is not None and p < SIGNIFICANT


def compare(
    entrants: Sequence[Entrant],
    classes: dict[str, str],
    *,
    baseline: str,
    metrics: Sequence[str] = (),
    group: Callable[[str], str] | None = None,
    left_out: Sequence[str] = (),
    intersection: bool = False,
) -> Comparison:
    """Compare entrants on the same cases; each of them has scores of all `classes`.

    The unit is a case's mean over foreground classes, or its value of one class; with `group` (case -> patient or site)
    the group's mean. Tests are against `baseline`. Holm's adjustment is within one metric: over the rows for the
    foreground, over rows and classes for the classes.

    Args:
        entrants: with different names.
        classes: class key -> name.
        baseline: name of an entrant.
        metrics: names; none means those of `SHOWN` that all entrants have.
        group: the group of a case.
        left_out: sentences about what is not among the entrants.
        intersection: compare the cases that all have where not all have the same.

    Raises:
        UserError: when entrants have different cases or none in common, when there is no such baseline, or when an
            entrant lacks a class or a metric.
    """
    for entrant in entrants:
        for case in entrant.cases.values():
            if not set(classes) <= set(case.metrics):
                raise UserError(
                    f"{entrant.name} has no score of every class in {case.case}; score it on the same classes."
                )
    if baseline not in {entrant.name for entrant in entrants}:
        raise UserError(f"Baseline '{baseline}' is not among {', '.join(entrant.name for entrant in entrants)}.")
    common, notes = common_cases(case_sets(entrants), intersection=intersection)
    chosen, missing = choose_metrics(entrants, metrics)
    groups = tuple(group(case) for case in common) if group is not None else None
    results: dict[str, dict[str, MetricResult]] = {entrant.name: {} for entrant in entrants}
    for metric in chosen:
        values = {entrant.name: entrant.values(common, list(classes), metric) for entrant in entrants}
        # The foreground is the first column, the classes follow.
        columns = {
            name: np.concatenate([foreground_means(rows)[:, :, None], rows], axis=2) for name, rows in values.items()
        }
        scores = {
            name: score_columns(rows, None if name == baseline else columns[baseline], groups, metric=metric)
            for name, rows in columns.items()
        }
        for name, (whole, *parts) in _adjusted(scores).items():
            results[name][metric] = MetricResult(whole, dict(zip(classes, parts, strict=True)))
    told = (*left_out, *notes, *missing)
    return Comparison(dict(classes), tuple(common), chosen, baseline, groups, tuple(entrants), results, told)


def case_sets(entrants: Sequence[Entrant]) -> dict[str, set[str]]:
    """The cases of every entrant, of every training apart, by name."""
    return {
        f"{entrant.name} (training {number})" if len(entrant.trainings) > 1 else entrant.name: set(scored)
        for entrant in entrants
        for number, scored in enumerate(entrant.trainings, start=1)
    }


def common_cases(sets: Mapping[str, set[str]], *, intersection: bool) -> tuple[list[str], list[str]]:
    """The cases that all have, and sentences about those that not all have.

    Args:
        sets: name -> cases.
        intersection: whether the sets may differ.

    Raises:
        UserError: when there is none, or when the sets differ and may not.
    """
    common = sorted(set.intersection(*sets.values()))
    if not common:
        raise UserError(f"{', '.join(sets)} have no case in common; validate the same folds.")
    everything = set.union(*sets.values())
    if len(common) < len(everything) and not intersection:
        lacking = [f"{name} lacks {_some(everything - cases)}" for name, cases in sets.items() if cases != everything]
        raise UserError(
            f"Not all have the same cases: {'; '.join(lacking)}. Validate the same folds, choose them with --fold, or "
            f"compare the {len(common)} cases that all have with --intersection."
        )
    extra = {name: len(cases) - len(common) for name, cases in sets.items()}
    return common, [
        f"{count} of {len(sets[name])} cases of {name}, which not all have." for name, count in extra.items() if count
    ]


def _some(cases: set[str]) -> str:
    first = sorted(cases)[:3]
    more = f" and {len(cases) - len(first)} more" if len(cases) > len(first) else ""
    return f"{len(cases)} ({', '.join(first)}{more})"


def choose_metrics(entrants: Sequence[Entrant], asked: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The metrics to compare, and sentences about those of `SHOWN` that not all have.

    Raises:
        UserError: when one that is asked for is not there.
    """
    lacking = {metric: [e.name for e in entrants if not e.has(metric)] for metric in asked or SHOWN}
    for metric, names in lacking.items():
        if names and asked:
            raise UserError(
                f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} no score of {metric}; score validation/ of "
                "each fold anew with `autodiffseg evaluate --metrics`, or leave it out here."
            )
    notes = [
        f"{metric}, which {', '.join(names)} {'has' if len(names) == 1 else 'have'} not (scored by an older version; "
        "`autodiffseg validate` scores anew)."
        for metric, names in lacking.items()
        if names
    ]
    return tuple(metric for metric, names in lacking.items() if not names), notes


def _adjusted(scores: dict[str, list[Score]]) -> dict[str, list[Score]]:
    """The same scores with p-values adjusted by Holm: the first column of all rows, then all others together."""
    result = {name: list(row) for name, row in scores.items()}
    for columns in (slice(0, 1), slice(1, None)):
        family = [(name, index) for name, row in scores.items() for index in range(len(row))[columns]]
        adjusted = holm([scores[name][index].test.p for name, index in family])
        for (name, index), p in zip(family, adjusted, strict=True):
            result[name][index] = replace(result[name][index], p_adjusted=p)
    return result
