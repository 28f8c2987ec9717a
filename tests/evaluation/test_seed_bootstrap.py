"""The two-level bootstrap against numbers by hand, its one-level sibling and its invariances."""

from __future__ import annotations

import numpy as np
import pytest

from autodiffseg.evaluation.seed_bootstrap import bootstrap_over_seeds
from autodiffseg.evaluation.statistics import bootstrap_mean

RNG = np.random.default_rng(0)
CASES = RNG.normal(0.8, 0.05, size=40)


def test_without_spread_between_seeds_it_is_the_bootstrap_over_cases() -> None:
    two, one = bootstrap_over_seeds(np.stack([CASES] * 3)), bootstrap_mean(CASES)
    assert two.mean == pytest.approx(one.mean)
    assert [two.low, two.high] == pytest.approx([one.low, one.high], abs=1e-3)


def test_without_spread_between_cases_its_ends_are_those_of_the_seeds() -> None:
    interval = bootstrap_over_seeds(np.tile([[0.1], [0.2], [0.3]], (1, 10)))
    assert interval == pytest.approx((0.2, 0.1, 0.3))  # all three draws alike: 1/27 > 2.5 %


def test_seeds_make_the_interval_wider() -> None:
    trainings = CASES + np.array([[-0.03], [0.0], [0.03]])
    wide, narrow = bootstrap_over_seeds(trainings), bootstrap_mean(trainings.mean(axis=0))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_cases_are_paired_and_trainings_are_not() -> None:
    other = CASES + 0.01
    paired = bootstrap_over_seeds(np.stack([other] * 3), np.stack([CASES] * 4))
    assert paired == pytest.approx((0.01, 0.01, 0.01))
    shifts = np.array([[-0.03], [0.0], [0.03]])
    same = bootstrap_over_seeds(other + shifts, CASES + shifts)  # were seeds paired, this would be a point too
    assert same.high - same.low > 0.04


def test_the_difference_changes_its_sign_with_the_order() -> None:
    a, b = RNG.normal(size=(3, 20)), RNG.normal(size=(3, 20))
    forth, back = bootstrap_over_seeds(a, b), bootstrap_over_seeds(b, a)
    assert forth.mean == pytest.approx(-back.mean)
    assert [forth.low, forth.high] == pytest.approx([-back.high, -back.low], abs=0.05)


def test_a_case_without_a_value_is_left_out_of_both() -> None:
    a, b = RNG.normal(size=(3, 20)), RNG.normal(size=(3, 20))
    gap = a.copy()
    gap[:, 7] = np.nan
    assert bootstrap_over_seeds(gap, b) == bootstrap_over_seeds(np.delete(a, 7, axis=1), np.delete(b, 7, axis=1))


def test_a_case_counts_by_the_trainings_that_have_a_value_of_it() -> None:
    values = np.array([[0.2, 0.4], [0.4, np.nan], [0.6, np.nan]])
    interval = bootstrap_over_seeds(values)
    assert interval.mean == pytest.approx((0.4 + 0.4) / 2)
    assert interval.high == pytest.approx(0.6)  # of the third training alone: there the second case has no value
    shifted = bootstrap_over_seeds(values, np.zeros((3, 2)))
    assert shifted.mean == pytest.approx(interval.mean)


def test_nothing_known_gives_nothing() -> None:
    assert np.isnan(bootstrap_over_seeds(np.full((3, 2), np.nan))).all()


@pytest.mark.parametrize("shapes", [((2, 5), None), ((3, 5), (2, 5)), ((3, 5), (3, 4))])
def test_too_few_seeds_or_other_cases_are_refused(shapes: tuple[tuple[int, int], tuple[int, int] | None]) -> None:
    baseline = None if shapes[1] is None else np.zeros(shapes[1])
    with pytest.raises(ValueError, match="seeds"):
        bootstrap_over_seeds(np.zeros(shapes[0]), baseline)
