"""Conformal intervals: the exact quantile, and the coverage that is promised."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autodiffseg.uncertainty.conformal import conformal_quantile, relative_error, volume_interval


@pytest.mark.parametrize(("known", "rank"), [(9, 9), (19, 18), (20, 19), (29, 27), (99, 90), (100, 91)])
def test_the_quantile_is_the_score_of_an_exact_rank(known: int, rank: int) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, known + 1))
    assert conformal_quantile(scores.tolist(), miscoverage=0.1) == rank


def test_too_few_scores_bound_nothing() -> None:
    assert conformal_quantile([1.0] * 8, miscoverage=0.1) == math.inf
    assert conformal_quantile([], miscoverage=0.1) == math.inf


def test_a_miscoverage_outside_of_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        conformal_quantile([1.0], miscoverage=1.0)


def test_relative_errors_by_hand() -> None:
    assert relative_error(4.0, 5.0) == relative_error(4.0, 3.0) == 0.25
    assert relative_error(0.0, 0.0) == 0
    assert relative_error(0.0, 1.0) == math.inf
    assert relative_error(2.0, 0.0) == 1


def test_an_interval_holds_what_has_a_smaller_error() -> None:
    assert volume_interval(4.0, 0.25) == (3.0, 5.0)
    assert volume_interval(4.0, 1.5) == (0.0, 10.0)
    assert volume_interval(0.0, 0.25) == (0.0, 0.0)
    assert volume_interval(0.0, math.inf) == volume_interval(1.0, math.inf) == (0.0, math.inf)


@pytest.mark.parametrize("known", [20, 50])
def test_exchangeable_cases_are_covered_as_often_as_promised(known: int) -> None:
    """With continuous scores the coverage is exactly ⌈(n + 1)(1 - α)⌉/(n + 1), however wrong the model is."""
    rng = np.random.default_rng(7)
    trials, hits = 4000, 0
    for _ in range(trials):
        truth = rng.lognormal(1, 0.8, known + 1)
        predicted = 0.8 * truth * rng.lognormal(0, 0.3, known + 1)  # biased, and heavy in the tail
        scores = [relative_error(p, t) for p, t in zip(predicted[:-1], truth[:-1], strict=True)]
        low, high = volume_interval(predicted[-1], conformal_quantile(scores, miscoverage=0.1))
        hits += low <= truth[-1] <= high
    expected = math.ceil(round((known + 1) * 0.9, 9)) / (known + 1)
    assert hits / trials == pytest.approx(expected, abs=4 * math.sqrt(0.09 / trials))
    assert expected >= 0.9


def test_cases_without_any_prediction_are_covered_too() -> None:
    """A score may be infinite: then intervals are unbounded rather than wrong."""
    scores = [0.1] * 17 + [math.inf] * 3
    assert volume_interval(1.0, conformal_quantile(scores, miscoverage=0.1)) == (0.0, math.inf)
