"""Label curves: methods by the number of labels that they were trained with, in-domain and on shifted sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from autodiffseg.evaluation.comparison import common_cases
from autodiffseg.evaluation.difference import Difference
from autodiffseg.evaluation.paired_scores import foreground_means
from autodiffseg.evaluation.seed_bootstrap import FEWEST_SEEDS, bootstrap_over_seeds
from autodiffseg.evaluation.statistics import (
    Interval,
    Values,
    bootstrap_mean,
    group_means,
    holm,
    mean_of,
    paired_wilcoxon,
    std_of,
)
from autodiffseg.evaluation.summary import CaseScores


class Place(NamedTuple):
    """A row of a label curve."""

    labels: int
    """Labelled training cases (groups of them, where there are such); of a run on all, how many those are."""
    method: str


@dataclass(frozen=True)
class Domain:
    """What is scored: the validation cases, or a shifted set."""

    name: str
    classes: Mapping[str, str]
    """Class key -> name."""
    trainings: Mapping[Place, Mapping[str, Mapping[str, CaseScores]]]
    """Row -> training (which says which label seed and which training seed) -> case -> scores."""
    group: Callable[[str], str] | None = None
    """The group of a case, where cases belong to groups."""


@dataclass(frozen=True)
class Gap(Difference):
    """A row less the baseline with as many labels, paired by case and, where both have them, by training.

    The interval is over trainings too where three or more are paired; the test is of the units' means over trainings.
    """

    trainings: int
    """That are paired; 0: neither has one that the other has, and each counts by its mean."""
    p_adjusted: float | None = None


@dataclass(frozen=True)
class Standing:
    """One row in one domain."""

    mean: float
    std: float
    """Sample standard deviation over units (cases or groups), each by its mean over trainings."""
    interval: Interval
    """95 %, of the mean; over trainings too where there are three."""
    trainings: int
    spread: float
    """Sample standard deviation of the trainings' means; NaN of one."""
    gap: Gap | None
    """None for the baseline, and where it was not trained with as many labels."""


Standings = dict[Place, Standing]


def standings(domain: Domain, *, baseline: str, metric: str = "Dice") -> tuple[Standings, list[str]]:
    """Every row of a domain, and sentences about cases that not all rows have.

    A unit counts by its mean over foreground classes. Differences are to the baseline with as many labels. Label seeds
    are drawn together: both methods of a difference were trained on the same labels, which vary more than anything
    else. Holm's adjustment is over all rows of the domain.

    Args:
        domain: rows and scores.
        baseline: name of a method.
        metric: name.

    Raises:
        UserError: when the rows have no case in common.
    """
    values, notes = unit_values(domain, metric)
    found = {}
    for place, trainings in values.items():
        stacked = np.stack(list(trainings.values()))  # (trainings, units)
        against = values.get(Place(place.labels, baseline)) if place.method != baseline else None
        found[place] = Standing(
            mean=mean_of(_mean_over(stacked)),
            std=std_of(_mean_over(stacked)),
            interval=interval_of(stacked),
            trainings=len(stacked),
            spread=std_of(np.array([mean_of(one) for one in stacked])),
            gap=gap_of(trainings, against) if against is not None else None,
        )
    return _adjusted(found), notes


def unit_values(domain: Domain, metric: str) -> tuple[dict[Place, dict[str, Values]], list[str]]:
    """Row -> training -> value of every unit, on the cases that all have; and sentences about others.

    Raises:
        UserError: when the rows have no case in common.
    """
    sets = {
        f"{place.method}, {place.labels} labels ({name})": set(scores)
        for place, trainings in domain.trainings.items()
        for name, scores in trainings.items()
    }
    cases, notes = common_cases(sets, intersection=True)
    groups = [domain.group(case) for case in cases] if domain.group is not None else None
    values = {
        place: {name: _units(scores, cases, list(domain.classes), metric, groups) for name, scores in trainings.items()}
        for place, trainings in domain.trainings.items()
    }
    return values, notes


def gap_of(method: Mapping[str, Values], baseline: Mapping[str, Values]) -> Gap:
    """The difference of two methods: training -> value of every unit."""
    shared = [name for name in method if name in baseline]
    ours, theirs = (
        np.stack([one[name] for name in shared] if shared else list(one.values())) for one in (method, baseline)
    )
    test = paired_wilcoxon(_mean_over(ours), _mean_over(theirs))
    if shared:
        return Gap(interval_of(ours - theirs), test, len(shared))
    return Gap(bootstrap_mean(_mean_over(ours) - _mean_over(theirs)), test, 0)


def interval_of(values: Values) -> Interval:
    """Of the mean of `(trainings, units)`: over both where there are three trainings, else over units."""
    if len(values) >= FEWEST_SEEDS:
        return bootstrap_over_seeds(values)
    return bootstrap_mean(_mean_over(values))


def counts_of(domains: Iterable[Domain]) -> list[int]:
    """All numbers of labels, ascending."""
    return sorted({place.labels for domain in domains for place in domain.trainings})


def methods_of(domains: Iterable[Domain], *, baseline: str | None = None) -> list[str]:
    """All methods in order of appearance, the baseline first if one is given."""
    names = dict.fromkeys(place.method for domain in domains for place in domain.trainings)
    return sorted(names, key=lambda name: name != baseline)


def _units(
    scores: Mapping[str, CaseScores], cases: Sequence[str], keys: Sequence[str], metric: str, groups: list[str] | None
) -> Values:
    rows = np.array([[[scores[case].metrics[key][metric] for key in keys] for case in cases]], dtype=np.float64)
    means: Values = foreground_means(rows)[0]
    return means if groups is None else group_means(means, groups)


def _mean_over(values: Values) -> Values:
    """Mean over trainings of every unit; NaN where none has a value."""
    means: Values = foreground_means(values.T[None])[0]
    return means


def _adjusted(found: Standings) -> Standings:
    """The same with p-values adjusted by Holm over all rows."""
    tested = {place: one.gap for place, one in found.items() if one.gap is not None}
    adjusted = holm([gap.test.p for gap in tested.values()])
    changed = {place: replace(gap, p_adjusted=p) for (place, gap), p in zip(tested.items(), adjusted, strict=True)}
    return {place: replace(one, gap=changed.get(place)) for place, one in found.items()}
