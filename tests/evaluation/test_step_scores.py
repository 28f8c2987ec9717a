"""Curves over sampling steps and the spread of seeds, against numbers computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autodiffseg.evaluation.step_scores import FOREGROUND, StepScores, curve, spread

NAN = math.nan


def scores(*dice: float) -> dict[str, dict[str, float]]:
    """Of one step: classes "1", "2", …; the distance is ten times what is missing."""
    return {str(key): {"Dice": value, "HD95": 10 * (1 - value), "TP": 0.0} for key, value in enumerate(dice, start=1)}


def two_cases() -> StepScores:
    """Two cases, two samples, two steps, two classes."""
    first = [[scores(0.5, 0.7), scores(0.6, 1.0)], [scores(0.7, 0.7), scores(0.6, 0.8)]]
    second = [[scores(0.2, NAN), scores(0.4, NAN)], [scores(0.1, NAN), scores(0.4, 0.0)]]
    return StepScores.collect({"1": "core", "2": "shell"}, {"a": first, "b": second})


def test_scores_are_put_by_case_sample_step_and_class() -> None:
    found = two_cases()
    assert (found.cases, found.classes) == (("a", "b"), ("core", "shell"))
    assert found.values["Dice"].shape == (2, 2, 2, 2)
    assert found.values["Dice"][0, 1, 1].tolist() == [0.6, 0.8]
    assert found.values["HD95"][1, 0, 1, 0] == pytest.approx(6.0)


def test_the_foreground_is_the_mean_of_the_classes_that_have_a_value() -> None:
    assert two_cases().foreground("Dice") == pytest.approx(
        np.array([[[0.6, 0.8], [0.7, 0.7]], [[0.2, 0.4], [0.1, 0.2]]])
    )
    nothing = StepScores.collect({"1": "core"}, {"a": [[scores(NAN)]]})
    assert np.isnan(nothing.foreground("Dice")).all()


def test_a_curve_is_the_mean_over_cases_of_the_mean_over_samples() -> None:
    found = curve(two_cases().foreground("Dice"))
    assert found.mean == pytest.approx(((0.65 + 0.15) / 2, (0.75 + 0.3) / 2))
    assert found.std == pytest.approx(((0.65 - 0.15) / math.sqrt(2), (0.75 - 0.3) / math.sqrt(2)))


def test_the_spread_is_taken_within_a_case_and_then_averaged() -> None:
    found = spread(two_cases().foreground("Dice"))
    assert found.mean == pytest.approx(((0.1 + 0.1) / 2, (0.1 + 0.2) / 2))
    # The means of the samples lie nearer together than the samples of each case.
    crossed = np.array([[[0.0], [1.0]], [[1.0], [0.0]]])
    assert spread(crossed).mean == (1.0,)
    assert np.ptp(crossed.mean(axis=0)) == 0


def test_five_samples_spread_from_the_smallest_to_the_largest() -> None:
    assert spread(np.array([[[3.0], [1.0], [2.0], [7.0], [5.0]]])).mean == (6.0,)


def test_a_case_with_fewer_than_two_values_has_no_spread() -> None:
    shell = two_cases().series("Dice")["shell"]  # of the second case NaN, and NaN beside one 0
    assert spread(shell).mean == pytest.approx((0.0, 0.2))
    assert math.isnan(spread(np.array([[[NAN], [0.5]]])).mean[0])
    assert math.isnan(spread(np.array([[[NAN], [NAN]]])).mean[0])


def test_a_single_class_is_not_listed_beside_the_foreground_that_it_is() -> None:
    assert list(two_cases().series("HD95")) == [FOREGROUND, "core", "shell"]
    assert list(StepScores.collect({"1": "core"}, {"a": [[scores(0.5)]]}).series("HD95")) == [FOREGROUND]
