"""Statistics: published and closed-form numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autodiffseg.evaluation.statistics import (
    bootstrap_mean,
    bootstrap_means,
    group_means,
    holm,
    mean_of,
    paired_wilcoxon,
    rank_biserial,
    std_of,
)


def test_wilcoxon_of_one_sided_differences_is_exact() -> None:
    test = paired_wilcoxon(np.arange(1.0, 9.0), np.zeros(8))
    assert test.p == pytest.approx(2 / 2**8)
    assert test.pairs == 8


def test_wilcoxon_refuses_too_few_pairs_and_skips_missing_ones() -> None:
    test = paired_wilcoxon(np.array([1.0, 2, 3, 4, 5, math.nan]), np.zeros(6))
    assert test.p is None
    assert "5 pairs" in test.reason
    assert paired_wilcoxon(np.ones(7), np.ones(7)).p == 1.0


def test_wilcoxon_is_two_sided() -> None:
    a, b = np.array([3.0, 1, 4, 1, 5, 9, 2, 6]), np.array([2.0, 7, 1, 8, 2, 8, 1, 9])
    assert paired_wilcoxon(a, b).p == pytest.approx(paired_wilcoxon(b, a).p)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, None]) == pytest.approx([0.03, 0.06, 0.06, None])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_groups_count_by_their_mean() -> None:
    values = np.array([1.0, 3.0, 10.0, math.nan])
    assert group_means(values, ["a", "a", "b", "b"]).tolist() == [2.0, 10.0]


def test_the_bootstrap_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        interval = bootstrap_mean(rng.normal(5, 2, size=40), seed=trial, samples=500)
        hits += interval.low <= 5 <= interval.high
    assert 0.88 < hits / 200 < 0.99


def test_the_bootstrap_is_seeded_and_empty_values_have_no_interval() -> None:
    values = np.random.default_rng(3).normal(size=10)
    assert bootstrap_mean(values) == bootstrap_mean(values) != bootstrap_mean(values, seed=1)
    assert math.isnan(bootstrap_mean(np.array([math.nan])).mean)


def test_means_leave_out_what_is_missing() -> None:
    values = np.array([1.0, 3.0, math.nan])
    assert (mean_of(values), std_of(values)) == pytest.approx((2.0, math.sqrt(2)))
    assert math.isnan(mean_of(values[2:]))


def test_the_effect_size_by_hand() -> None:
    assert rank_biserial(np.array([1.0, 2, 3, -4])) == pytest.approx((1 + 2 + 3 - 4) / 10)
    assert rank_biserial(np.array([0.0, 5, -9])) == pytest.approx((2 - 3) / 5)  # the zero takes the first rank
    assert paired_wilcoxon(np.arange(1.0, 9.0), np.zeros(8)).effect == 1.0
    assert paired_wilcoxon(np.zeros(8), np.arange(1.0, 9.0)).effect == -1.0


def test_columns_are_bootstrapped_together_as_they_are_alone() -> None:
    values = np.random.default_rng(1).normal(size=(60, 3)) * (1, 5, 1)
    values[:50, 2] = math.nan
    together = bootstrap_means(values)
    for column, interval in zip(values.T, together, strict=True):
        alone = bootstrap_mean(column)
        assert interval.mean == pytest.approx(alone.mean)
        width = alone.high - alone.low
        assert interval.low == pytest.approx(alone.low, abs=0.1 * width)
        assert interval.high == pytest.approx(alone.high, abs=0.1 * width)
    assert all(math.isnan(value) for value in bootstrap_means(np.full((5, 1), math.nan))[0])
