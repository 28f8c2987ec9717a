"""Which cases are pictured."""

from __future__ import annotations

import math

from autodiffseg.evaluation.metrics import find_metric
from autodiffseg.report.chosen_cases import chosen_cases

from .conftest import compared

DICE = find_metric("Dice")


def test_worst_median_gain_and_loss_are_chosen_by_the_scores() -> None:
    base = [0.9, 0.1, 0.8, 0.2, 0.7, 0.6, 0.95]
    other = [0.99, 0.1, 0.7, 0.2, 0.7, 0.65, 0.95]
    chosen = chosen_cases(compared({"base": base, "other": other}), DICE)
    assert list(chosen) == ["case1", "case3", "case4", "case0", "case2"]
    assert chosen["case1"].startswith("worst Dice")
    assert chosen["case3"].startswith("2nd worst")
    assert chosen["case4"].startswith("median")
    assert chosen["case0"] == "other gains most against base"
    assert chosen["case2"] == "other loses most against base"


def test_a_row_that_only_loses_has_no_gain() -> None:
    chosen = chosen_cases(compared({"base": [0.9, 0.8, 0.7], "other": [0.8, 0.8, 0.7]}), DICE)
    assert "gains most" not in " ".join(chosen.values())
    assert "other loses most" in chosen["case0"]


def test_a_case_without_scores_is_not_chosen() -> None:
    assert "case0" not in chosen_cases(compared({"base": [math.nan, 0.8, 0.7]}), DICE)
    assert chosen_cases(compared({"base": [math.nan]}), DICE) == {}
