"""Scores of a comparison: means over trainings and groups, what is on par, and which intervals speak of training."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autodiffseg.evaluation.paired_scores import foreground_means, score_columns

NAN = math.nan


def column(*trainings: list[float]) -> np.ndarray:
    """`(trainings, cases, 1)`."""
    return np.array(trainings)[:, :, None]


def test_a_unit_is_the_mean_over_its_trainings_that_have_a_value() -> None:
    (score,) = score_columns(column([0.2, 0.4, NAN], [0.4, NAN, NAN]), None, None, metric="Dice")
    assert score.mean == pytest.approx((0.3 + 0.4) / 2)
    assert score.units == 2
    assert score.test.reason == "baseline"
    assert math.isnan(score.difference.mean)


def test_groups_are_units() -> None:
    values, baseline = column([1.0, 3.0, 5.0]), column([0.0, 0.0, 1.0])
    (score,) = score_columns(values, baseline, ["p", "p", "q"], metric="HD95")
    assert (score.mean, score.units) == ((2 + 5) / 2, 2)
    assert score.difference.mean == pytest.approx((2 + 4) / 2)
    assert score.test.p is None
    assert "2 pairs are too few" in score.test.reason


@pytest.mark.parametrize(
    ("gap", "metric", "on_par"), [(0.004, "Dice", True), (0.006, "Dice", False), (0, "IoU", False)]
)
def test_on_par_is_said_of_dice_alone(gap: float, metric: str, on_par: bool) -> None:
    baseline = np.linspace(0.7, 0.9, 12)
    (score,) = score_columns(column(list(baseline - gap)), column(list(baseline)), None, metric=metric)
    assert score.on_par is on_par


@pytest.mark.parametrize(("pairs", "on_par"), [(1, False), (5, False), (6, True)])
def test_a_few_pairs_that_happen_to_agree_are_not_on_par(pairs: int, on_par: bool) -> None:
    baseline = column([0.8] * pairs + [NAN] * 6)
    (score,) = score_columns(baseline + 0.001, baseline, None, metric="Dice")
    assert (score.on_par, score.test.pairs) == (on_par, pairs)


def test_only_three_trainings_on_both_sides_speak_of_training_anew() -> None:
    rng = np.random.default_rng(0)
    three = column(*(list(offset + rng.normal(0, 0.001, 20)) for offset in (0.7, 0.8, 0.9)))
    two, one = three[:2], three[1:2]
    (against_three,) = score_columns(three, three, None, metric="Dice")
    (against_one,) = score_columns(three, one, None, metric="Dice")
    (of_two,) = score_columns(two, one, None, metric="Dice")
    assert [score.over_trainings for score in (against_three, against_one, of_two)] == [True, False, False]
    wide, narrow = (score.difference.high - score.difference.low for score in (against_three, against_one))
    assert wide > 0.1 > 0.01 > narrow
    assert against_three.interval.high - against_three.interval.low > 0.1
    assert of_two.interval.high - of_two.interval.low < 0.01


def test_a_mean_and_its_interval_over_seeds_are_of_the_same_units() -> None:
    values = column([0.8] * 6 + [0.0], [0.8] * 6 + [NAN], [0.8] * 6 + [NAN])
    baseline = column(*[[0.7] * 6 + [0.1]] * 3)
    (score,) = score_columns(values, baseline, None, metric="Dice")
    assert score.mean == score.interval.mean == pytest.approx(4.8 / 7)
    assert score.difference.mean == pytest.approx((6 * 0.1 - 0.1) / 7)
    assert (score.units, score.test.pairs) == (7, 7)


def test_classes_without_a_value_are_left_out_of_the_foreground() -> None:
    values = np.array([[[0.2, NAN], [0.4, 0.8], [NAN, NAN]]])
    np.testing.assert_allclose(foreground_means(values), [[0.2, 0.6, NAN]])
