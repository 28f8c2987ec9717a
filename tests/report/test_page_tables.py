"""Tables of the page: the number that each cell is sorted by, and the order of the cases."""

from __future__ import annotations

import math

import pytest

from autodiffseg.evaluation.metrics import find_metric
from autodiffseg.report import page_tables
from autodiffseg.report.page_tables import cases_table, first_number, glance

from .conftest import compared

DICE = find_metric("Dice")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.8807 ± 0.0263", 0.8807),
        ("-0.0023 [-0.0047, +0.0000]", -0.0023),
        ("+0.01", 0.01),
        ("[1.28, 1.54]", 1.28),
        ("5000 (unfinished)", 5000),
    ],
)
def test_a_cell_is_sorted_by_its_first_number(text: str, number: float) -> None:
    assert float(first_number(text)) == number


def test_what_has_no_value_has_no_number_and_a_bound_lies_below_itself() -> None:
    assert first_number("–") == first_number("on par") == first_number("cpu bf16") == ""
    assert 0 < float(first_number("<0.0001")) < float(first_number("0.0001"))


def test_cases_stand_from_worst_to_best_and_those_without_a_score_last() -> None:
    table, cut = cases_table(compared({"a": [0.9, math.nan, 0.2, 0.5], "b": [0.8, math.nan, 0.3, 0.4]}), DICE)
    assert [row[0].cell.text for row in table.rows] == ["case2", "case3", "case0", "case1"]
    assert table.header == ("Case", "a", "b", "b less a")
    assert [item.cell.text for item in table.rows[0][1:]] == ["0.2000", "0.3000", "+0.1000"]
    assert [item.number for item in table.rows[3][1:]] == ["", "", ""]
    assert cut == ""


def test_of_very_many_cases_the_worst_are_shown_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_tables, "MOST_CASES", 2)
    table, cut = cases_table(compared({"a": [0.9, 0.1, 0.5]}), DICE)
    assert [row[0].cell.text for row in table.rows] == ["case1", "case2"]
    assert "2 of 3" in cut


def test_the_glance_names_the_baseline_and_how_others_stand_to_it() -> None:
    sentences = list(
        glance(compared({"a": [0.5 + i / 100 for i in range(9)], "b": [0.6 + i / 90 for i in range(9)]}), DICE)
    )
    assert sentences[0].endswith("the baseline.")
    assert "+0.1044" in sentences[1]
    assert sentences[1].endswith("better.")
