"""Tests of the tables of label curves."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest

from autodiffseg.evaluation.label_curves import Domain, Gap, Place
from autodiffseg.evaluation.label_tables import (
    LabelCurves,
    label_cases_csv,
    label_curves,
    label_panels,
    labels_table,
    narrow_tables,
    verdict,
)
from autodiffseg.evaluation.statistics import Interval, PairedTest
from autodiffseg.evaluation.summary import CaseScores

CASES = tuple(f"case_{number:02d}" for number in range(12))
EASE = np.linspace(-0.1, 0.1, 12)


def scores(dice: float) -> dict[str, CaseScores]:
    return {
        case: CaseScores(case, {"1": {"Dice": dice + ease, "HD95": math.nan, "Precision": 0.75}}, "", "")
        for case, ease in zip(CASES, EASE + np.resize([0.001, -0.001, 0.002], 12), strict=True)
    }


@pytest.fixture
def curves() -> LabelCurves:
    """The other method is better with one label and lacks a training with twelve."""
    inside = {
        Place(12, "plain"): {"0.0": scores(0.8)},
        Place(1, "other"): {"0.0": scores(0.7)},
        Place(1, "plain"): {"0.0": scores(0.5)},
    }
    outside = {Place(1, "other"): {"0.0.0": scores(0.4)}, Place(1, "plain"): {"0.0.0": scores(0.6)}}
    domains = [Domain("home", {"1": "lung"}, inside), Domain("away", {"1": "lung"}, outside)]
    return label_curves(domains, baseline="plain", passes={Place(1, "other"): "8"}, notes=["Left out: a run."])


def test_rows_are_ordered_by_labels_with_the_baseline_first(curves: LabelCurves) -> None:
    table = labels_table(curves, title="Dice")
    assert [row[:4] for row in table.rows] == [
        (1, "plain", 1, "–"),
        (1, "other", 1, "8"),
        (12, "plain", 1, "–"),
    ]
    assert table.rows[2][7:] == ("–", "–", "–")  # not tried away
    assert table.notes[-1] == "Left out: a run."


def test_the_narrow_tables_have_the_same_figures_with_the_best_of_each_number_in_bold(curves: LabelCurves) -> None:
    levels, home, away = narrow_tables(curves)
    wide = {(row[0], row[1]): row for row in labels_table(curves, title="").rows}
    for cells in levels.rows:
        row = wide[int(cells[0].text), cells[1].text]
        assert (cells[3].text, cells[4].text) == (row[4], row[7])
    assert [(cells[3].bold, cells[4].bold) for cells in levels.rows] == [(False, True), (True, False), (True, False)]
    assert [cell.text for cell in home.rows[0]][:2] == ["1", "other"]
    assert [row[-1].text for row in (*home.rows, *away.rows)] == ["better", "worse"]
    assert len(home.rows) == len(away.rows) == 1


def test_the_plot_has_a_gap_where_nothing_was_trained(curves: LabelCurves) -> None:
    panels = label_panels(curves)
    assert list(panels) == ["Dice, home", "Dice, away"]
    assert panels["Dice, home"]["other"][0] == pytest.approx(0.7 + 0.002 / 3, abs=1e-3)
    assert math.isnan(panels["Dice, home"]["other"][1])


@pytest.mark.parametrize(
    ("interval", "pairs", "told"),
    [
        ((0.02, 0.01, 0.03), 12, "better"),
        ((-0.02, -0.03, -0.01), 12, "worse"),
        ((0.001, -0.002, 0.003), 12, "on par"),
        ((0.002, 0.001, 0.003), 12, "better, on par"),
        ((0.001, -0.002, 0.003), 2, "open"),
        ((0.0, -0.1, 0.1), 12, "open"),
    ],
)
def test_a_verdict_is_what_the_interval_says(interval: tuple[float, float, float], pairs: int, told: str) -> None:
    assert verdict(Gap(Interval(*interval), PairedTest(0.5, pairs), 1)) == told


def test_all_scores_are_in_one_file(curves: LabelCurves) -> None:
    rows = list(csv.DictReader(io.StringIO(label_cases_csv(curves.domains))))
    assert len(rows) == 12 * 5
    first = next(row for row in rows if (row["domain"], row["labels"], row["method"]) == ("away", "1", "other"))
    assert (first["training"], first["case"], first["class"], first["HD95"]) == ("0.0.0", "case_00", "lung", "")
    assert (first["Precision"], first["Sensitivity"]) == ("0.75", "")
    assert float(first["Dice"]) == pytest.approx(0.4 - 0.1 + 0.001)
