"""Comparison: what is best, families of tests, the verdicts, and tables that keep every text whole."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from autodiffseg.errors import UserError
from autodiffseg.evaluation.comparison import Comparison, Entrant, compare
from autodiffseg.evaluation.comparison_figures import class_figure
from autodiffseg.evaluation.comparison_tables import notes, show_p, verdict
from autodiffseg.evaluation.marked_table import Cell, MarkedTable
from autodiffseg.evaluation.metrics import find_metric
from autodiffseg.evaluation.summary import CaseScores

CASES = [f"case{index}" for index in range(10)]


def entrant(name: str, **metrics: float) -> Entrant:
    """Every case has the same value of each metric, and a trace of the case's number."""
    cases = {
        case: CaseScores(
            case,
            {"1": {metric: value + 1e-6 * index for metric, value in metrics.items()} | {"n_pred": 1, "n_ref": 1}},
            "",
            "",
        )
        for index, case in enumerate(CASES)
    }
    return Entrant(name, cases, {})


def comparison(*entrants: Entrant, metrics: tuple[str, ...]) -> Comparison:
    return compare(entrants, {"1": "one"}, baseline=entrants[0].name, metrics=metrics)


def test_the_best_is_the_most_the_least_or_the_nearest_to_zero() -> None:
    metrics = {"Dice": (0.8, 0.9), "HD95": (3.0, 4.0), "VolumeDifference": (-0.5, 0.7)}
    rows = [entrant(name, **{m: v[index] for m, v in metrics.items()}) for index, name in enumerate("ab")]
    result = comparison(*rows, metrics=tuple(metrics))
    assert [result.best(metric) for metric in metrics] == [{"b"}, {"a"}, {"a"}]
    assert comparison(rows[0], metrics=("Dice",)).best("Dice") == set()


def test_equal_to_the_shown_digits_is_equally_good() -> None:
    rows = [entrant("a", Dice=0.80001), entrant("b", Dice=0.80002)]
    assert comparison(*rows, metrics=("Dice",)).best("Dice") == {"a", "b"}


def test_verdicts_follow_the_direction_of_the_metric() -> None:
    rows = [entrant("a", Dice=0.8, HD95=3.0, VolumeDifference=0.0)]
    rows += [entrant("b", Dice=0.9, HD95=4.0, VolumeDifference=1.0)]
    result = comparison(*rows, metrics=("Dice", "HD95", "VolumeDifference"))
    verdicts = [verdict(result, rows[1], find_metric(metric)) for metric in result.metrics]
    assert verdicts == ["better", "worse", "differs"]


def test_a_family_is_the_rows_of_one_metric() -> None:
    rows = [entrant("a", Dice=0.8, HD95=3.0)] + [entrant(name, Dice=0.9, HD95=2.0) for name in "bcd"]
    result = comparison(*rows, metrics=("Dice", "HD95"))
    for metric in result.metrics:
        assert result.score("b", metric).p_adjusted == pytest.approx(3 * 2 / 2**10)
        assert result.score("a", metric).p_adjusted is None


def test_a_page_says_what_its_p_values_speak_of() -> None:
    told = " ".join(notes(comparison(entrant("a", Dice=0.8), entrant("b", Dice=0.9), metrics=("Dice",))))
    assert "speaks of these trained models on these cases, not of training them anew" in told
    assert (show_p(None), show_p(0.00001), show_p(0.0312)) == ("–", "<0.0001", "0.0312")


def test_pairs_of_which_one_side_has_no_value_are_counted() -> None:
    right, wrong = entrant("right", Dice=0.9), entrant("wrong", Dice=0.9)
    for case in CASES[:3]:
        right.cases[case].metrics["1"].update(Dice=math.nan, n_pred=0, n_ref=0)
        wrong.cases[case].metrics["1"].update(Dice=0.0, n_ref=0)
    told = " ".join(notes(comparison(right, wrong, metrics=("Dice",))))
    assert "such pairs of Dice, units × classes: wrong 3." in told
    assert "such pairs" not in " ".join(notes(comparison(right, replace(right, name="b"), metrics=("Dice",))))
    assert "Tests per class" not in " ".join(notes(comparison(right, metrics=("Dice",))))


def test_the_legend_names_those_without_a_value_in_the_first_class() -> None:
    rows = [entrant("a", Dice=0.8), entrant("b", Dice=0.9)]
    for row in rows:
        for scored in row.cases.values():
            scored.metrics["2"] = dict(scored.metrics["1"])
            scored.metrics["1"]["Dice"] = math.nan if row.name == "b" else 0.8
    result = compare(rows, {"1": "one", "2": "two"}, baseline="a", metrics=("Dice",))
    (legend,) = class_figure(result, find_metric("Dice")).legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_a_metric_that_one_lacks_is_left_out_or_refused() -> None:
    rows = [entrant("a", Dice=0.8, HD95=3.0), entrant("b", Dice=0.9)]
    result = compare(rows, {"1": "one"}, baseline="a")
    assert result.metrics == ("Dice",)
    assert any("HD95, which b has not" in note for note in result.left_out)
    with pytest.raises(UserError, match="b has no score of HD95"):
        compare(rows, {"1": "one"}, baseline="a", metrics=("HD95",))


def test_a_class_that_nobody_has_a_value_of_has_no_best_and_no_test() -> None:
    rows = [entrant("a", Dice=math.nan), entrant("b", Dice=math.nan)]
    result = comparison(*rows, metrics=("Dice",))
    assert result.best("Dice") == set()
    assert result.score("b", "Dice").test.p is None


def test_marks_are_kept_and_texts_are_escaped() -> None:
    rows = ((Cell("a|b_[red]"), Cell("1 ± 2", bold=True, underlined=True)),)
    table = MarkedTable("T & U", ("Run", "Δ [mm]"), rows)
    assert "| a\\|b_[red] | **<u>1 ± 2</u>** |" in table.markdown()
    assert r"a|b\_[red] & \textbf{\underline{1 $\pm$ 2}} \\" in table.latex()
    assert r"\caption{T \& U}" in table.latex()
    assert r"$\Delta$ [mm]" in table.latex()
