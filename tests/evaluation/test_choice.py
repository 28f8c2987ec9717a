"""Choosing by cross-validation: means, paired intervals, and the cheaper one within a standard error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autodiffseg.errors import UserError
from autodiffseg.evaluation.choice import Candidate, choose


def candidate(name: str, values: list[float], cost: float = 1.0, *, first: int = 0) -> Candidate:
    """One class, a case per value."""
    return Candidate(name, {f"c{first + n}": {"1": value} for n, value in enumerate(values)}, cost)


def test_the_highest_mean_is_first_with_its_paired_difference() -> None:
    low, high = [0.5, 0.6, 0.7, 0.8], [0.6, 0.6, 0.9, 0.9]
    choice = choose([candidate("low", low), candidate("high", high)])
    assert [one.name for one in choice.standings] == ["high", "low"]
    assert choice.best.mean.mean == pytest.approx(0.75)
    other = choice.standings[1]
    differences = np.subtract(low, high)
    assert other.difference.mean == pytest.approx(differences.mean())
    assert other.standard_error == pytest.approx(differences.std(ddof=1) / 2)
    assert other.difference.low < other.difference.mean < other.difference.high
    assert choice.best.difference == (0, 0, 0)
    assert choice.best.standard_error == 0


def test_only_common_cases_count() -> None:
    choice = choose([candidate("a", [0.1, 0.5, 0.5]), candidate("b", [0.4, 0.4, 0.9], first=1)])
    assert choice.cases == 2
    assert [(one.name, one.mean.mean) for one in choice.standings] == [("a", pytest.approx(0.5)), ("b", 0.4)]
    with pytest.raises(UserError, match="a, b have validated no case in common"):
        choose([candidate("a", [0.1]), candidate("b", [0.4], first=1)])


def test_a_case_is_the_mean_of_the_classes_it_has_and_a_group_that_of_its_cases() -> None:
    dice = {"x1": {"1": 0.2, "2": math.nan}, "x2": {"1": 0.4, "2": 0.8}, "y1": {"1": 1.0, "2": 1.0}}
    assert choose([Candidate("a", dice, 1)]).best.mean.mean == pytest.approx((0.2 + 0.6 + 1) / 3)
    grouped = choose([Candidate("a", dice, 1)], group=lambda case: case[0])
    assert grouped.best.mean.mean == pytest.approx(((0.2 + 0.6) / 2 + 1) / 2)
    assert (grouped.cases, grouped.groups) == (3, 2)


def test_means_and_differences_are_of_the_cases_that_all_have_a_value_for() -> None:
    gap, whole = candidate("gap", [0.9, 0.7, math.nan]), candidate("whole", [0.8, 0.9, 0.1], cost=2)
    choice = choose([gap, whole])  # by their own means 0.8 and 0.6, by common ones 0.8 and 0.85
    assert [(one.name, one.mean.mean) for one in choice.standings] == [("whole", pytest.approx(0.85)), ("gap", 0.8)]
    assert choice.standings[1].difference.mean == pytest.approx(-0.05)
    assert (choice.cases, choice.groups, choice.left_out) == (2, 2, 1)
    grouped = choose([gap, whole], group=lambda case: "one" if case in ("c0", "c2") else "other")
    assert [one.mean.mean for one in grouped.standings] == [pytest.approx(0.85), pytest.approx(0.8)]
    with pytest.raises(UserError, match="a, b have no case in common of which each has a Dice"):
        choose([candidate("a", [0.5, math.nan]), candidate("b", [math.nan, 0.5])])


def test_advice_is_the_cheapest_within_one_standard_error() -> None:
    best = candidate("best", [0.8, 0.7, 0.9, 0.8], cost=6)
    near = candidate("near", [0.9, 0.6, 0.9, 0.7], cost=5)  # 0.025 below, standard error 0.048
    nearer = candidate("nearer", [0.81, 0.68, 0.9, 0.8], cost=2)  # 0.0025 below, standard error 0.006
    far = candidate("far", [0.7, 0.6, 0.8, 0.7], cost=1)  # 0.1 below in every case
    choice = choose([far, near, nearer, best])
    assert choice.best.name == "best"
    assert choice.cheaper is not None
    assert choice.cheaper.name == "nearer"


@pytest.mark.parametrize("cost", [6.0, 7.0, math.nan])
def test_no_advice_where_nothing_is_known_to_be_cheaper(cost: float) -> None:
    choice = choose([candidate("best", [0.8, 0.7, 0.9], cost=6), candidate("other", [0.8, 0.7, 0.8], cost=cost)])
    assert choice.best.name == "best"
    assert choice.cheaper is None


def test_of_one_case_nothing_is_advised() -> None:
    choice = choose([candidate("best", [0.8], cost=6), candidate("other", [0.79], cost=1)])
    assert math.isnan(choice.standings[1].standard_error)
    assert choice.cheaper is None


def test_of_equal_means_the_cheaper_is_first_whatever_the_order() -> None:
    dear, cheap = candidate("dear", [0.5, 0.7], cost=2), candidate("cheap", [0.7, 0.5], cost=1)
    assert [choose(order).best.name for order in ([dear, cheap], [cheap, dear])] == ["cheap", "cheap"]


def test_one_without_any_value_comes_last() -> None:
    nothing = candidate("nothing", [math.nan, math.nan])
    assert [one.name for one in choose([nothing, candidate("some", [0, 0])]).standings] == ["some", "nothing"]
