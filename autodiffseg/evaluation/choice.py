"""Choosing among models by cross-validation, with the uncertainty of the choice and what a cheaper one would lose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autodiffseg.errors import UserError
from autodiffseg.evaluation.statistics import (
    Interval,
    Values,
    bootstrap_mean,
    group_means,
    mean_of,
    std_of,
)

CaseDice = Mapping[str, Mapping[str, float]]
"""Case -> class key -> Dice; NaN where it does not exist."""


@dataclass(frozen=True)
class Candidate:
    """A model, or several together, that may be chosen."""

    name: str
    dice: CaseDice
    cost: float
    """Of a prediction, in any unit that all share; NaN where it is not known."""


@dataclass(frozen=True)
class Standing:
    """How a candidate did."""

    name: str
    mean: Interval
    """Dice over cases, with its 95 % bootstrap interval."""
    difference: Interval
    """Paired difference to the best one; 0 for itself."""
    standard_error: float
    """Of the mean paired difference; NaN with fewer than two cases."""
    cost: float


@dataclass(frozen=True)
class Choice:
    """All candidates, the best mean first."""

    standings: tuple[Standing, ...]
    cases: int
    """That count."""
    groups: int
    """Units of the statistics: cases, or groups of them."""
    left_out: int
    """Common cases that do not count, since a candidate has no Dice of any class there."""

    @property
    def best(self) -> Standing:
        """That with the highest mean."""
        return self.standings[0]

    @property
    def cheaper(self) -> Standing | None:
        """The cheapest within one standard error of the best, of equally cheap ones the better; None if there is none.

        This is the one-standard-error rule of Breiman et al., Classification and Regression Trees, 1984, §3.4.3, with
        the standard error of the paired difference: both were scored on the same cases.
        """
        near = [one for one in self.standings[1:] if -one.difference.mean <= one.standard_error]
        cheap = [one for one in near if one.cost < self.best.cost]
        return min(cheap, key=lambda one: one.cost) if cheap else None


def choose(candidates: Sequence[Candidate], *, group: Callable[[str], str] | None = None) -> Choice:
    """Rank candidates over the cases that all of them have a value for.

    The value of a case is its mean Dice over the foreground classes that it has; with `group` (case -> patient or site)
    the unit is the mean of a group. Of equal means the cheaper one is first. A candidate without any value comes last
    and takes no case from the others.

    Raises:
        UserError: when they have no case in common, or none that all have a value for.
    """
    common = sorted(set.intersection(*(set(candidate.dice) for candidate in candidates)))
    if not common:
        raise UserError(
            f"{', '.join(candidate.name for candidate in candidates)} have validated no case in common; train the same "
            "folds, or choose fewer runs."
        )
    values = {
        candidate.name: np.array([mean_of(np.array(list(candidate.dice[case].values()))) for case in common])
        for candidate in candidates
    }
    counts = np.ones(len(common), dtype=bool)
    for of_cases in values.values():
        if not np.isnan(of_cases).all():
            counts &= ~np.isnan(of_cases)
    if not counts.any():
        raise UserError(
            f"{', '.join(values)} have no case in common of which each has a Dice: where one has, another found "
            "nothing and there is nothing. Choose fewer runs."
        )
    cases = [case for case, counted in zip(common, counts, strict=True) if counted]
    groups = [group(case) for case in cases] if group is not None else None
    units: dict[str, Values] = {}
    for name, of_cases in values.items():
        units[name] = group_means(of_cases[counts], groups) if groups is not None else of_cases[counts]
    ranked = sorted(candidates, key=lambda one: (-_or(mean_of(units[one.name]), -1), _or(one.cost, math.inf)))
    top = units[ranked[0].name]
    standings = [
        Standing(
            one.name,
            bootstrap_mean(units[one.name]),
            bootstrap_mean(units[one.name] - top),
            _standard_error(units[one.name] - top),
            one.cost,
        )
        for one in ranked
    ]
    return Choice(tuple(standings), len(cases), len(top), len(common) - len(cases))


def _standard_error(values: Values) -> float:
    return std_of(values) / math.sqrt(max(1, int((~np.isnan(values)).sum())))


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value
