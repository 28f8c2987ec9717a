"""The analyses' tables: what stands in them, and in every form the same."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import matplotlib.image
import pytest

from autodiffseg.evaluation.curve_plot import curves_figure, save_curves
from autodiffseg.evaluation.report_table import ReportTable
from autodiffseg.evaluation.step_scores import StepScores
from autodiffseg.evaluation.step_tables import SamplingResult, cases_csv, sampling_table, seeds_table, steps_table


def scored(*cases: list[list[tuple[float, float]]], first_step: int = 1) -> StepScores:
    """Cases of samples of steps of the Dice of two classes; the distance is ten times what is missing."""
    found = {
        f"case {number}": [
            [{key: {"Dice": d, "HD95": 10 * (1 - d)} for key, d in zip("12", step, strict=True)} for step in sample]
            for sample in case
        ]
        for number, case in enumerate(cases)
    }
    return StepScores.collect({"1": "core", "2": "a|b"}, found, first_step=first_step)


TWO = scored([[(0.5, 0.7), (0.8, 1.0)], [(0.7, 0.9), (0.8, 0.8)]], [[(0.1, 0.3), (0.4, 0.6)], [(0.1, 0.3), (0.2, 0.6)]])


def test_a_row_per_step_with_foreground_and_classes() -> None:
    table = steps_table(TWO, title="T", notes=("more",))
    assert table.header == (
        "step", "Dice", "Dice ±", "Dice core", "Dice a|b", "HD95 [mm]", "HD95 ±", "HD95 core", "HD95 a|b",
    )  # fmt: skip
    step, dice, deviation, core, other, distance, *_ = table.rows[0]
    assert (step, len(table.rows)) == (1, 2)
    assert (dice, core, other) == pytest.approx((0.45, 0.35, 0.55))
    assert deviation == pytest.approx((0.7 - 0.2) / math.sqrt(2))
    assert distance == pytest.approx(5.5)
    assert table.notes[-1] == "more"


def test_the_spread_of_seeds_per_step_and_the_level_beside_it() -> None:
    table = seeds_table(TWO, title="T", notes=())
    assert table.header[:5] == ("step", "ΔDice", "ΔDice ±", "ΔDice core", "ΔDice a|b")
    assert table.rows[0][1:5] == pytest.approx((0.1, 0.2 / math.sqrt(2), 0.1, 0.1))
    assert table.rows[1][1:5] == pytest.approx((0.1, 0.0, 0.1, 0.1), abs=1e-12)
    assert table.rows[0][-2:] == pytest.approx((0.45, 5.5))
    assert "5 samples" not in table.notes[0]
    assert "2 samples" in table.notes[0]


def test_a_row_per_sampler_and_number_of_steps() -> None:
    last = scored([[(0.5, 0.7)]], first_step=20)
    table = sampling_table([SamplingResult("ddim", 20, last, 1.5)], title="T", notes=())
    assert table.rows[0][:3] == ("ddim", 20, pytest.approx(0.6))
    assert table.rows[0][-1] == 1.5
    assert math.isnan(float(table.rows[0][3]))  # one case has no deviation


def test_every_score_is_in_the_file_of_cases() -> None:
    rows = list(csv.DictReader(io.StringIO(cases_csv({("ddpm", 2): TWO}, ("sampler", "steps")))))
    assert len(rows) == 2 * 2 * 2 * 2
    (found,) = (r for r in rows if (r["case"], r["sample"], r["step"], r["class"]) == ("case 1", "1", "2", "core"))
    assert (found["sampler"], found["steps"], float(found["Dice"]), float(found["HD95"])) == ("ddpm", "2", 0.2, 8.0)
    empty = cases_csv({(): scored([[(math.nan, 0.5)]], first_step=5)}, ())
    assert empty.splitlines()[1] == "case 0,0,5,core,,"


def test_numbers_are_rounded_for_readers_and_whole_in_csv() -> None:
    table = ReportTable("T", ("name", "x [mm]"), (0, 2), (("a|b", 1 / 3), ("c", math.nan)), ("told",))
    assert table.csv() == f"name,x [mm]\na|b,{1 / 3}\nc,\n"
    assert "| a\\|b | 0.33 |" in table.markdown()
    assert "| c | – |" in table.markdown()
    assert table.markdown().endswith("- told\n")
    assert [str(column.header) for column in table.terminal().columns] == ["name", "x [mm]"]


def ink(path: Path) -> float:
    return float((matplotlib.image.imread(path)[..., :3].mean(axis=2) < 0.97).mean())


@pytest.mark.parametrize(
    ("positions", "logarithmic", "upright"),
    [
        ((1, 2, 3, 5), False, False),
        ((1, 3, 12, 156), True, False),
        ((1, 10, 500, 800, 950), True, True),
        ((0,), False, False),
    ],
)
def test_numbers_that_would_touch_stand_upright(positions: tuple[int, ...], logarithmic: bool, upright: bool) -> None:
    lines = {"a": [0.5] * len(positions)}
    figure = curves_figure(positions, {"Dice": lines}, title="t", xlabel="s", logarithmic=logarithmic)
    assert {label.get_rotation() for label in figure.axes[0].get_xticklabels()} == {90.0 if upright else 0.0}


def test_a_picture_of_curves_is_written_whole(tmp_path: Path) -> None:
    lines = {f"line {number}": [0.1 * number, math.nan, 0.2, 0.3] for number in range(12)}
    save_curves(tmp_path / "many.png", (1, 2, 3, 5), {"Dice": lines, "HD95 [mm]": lines}, title="t", xlabel="steps")
    save_curves(
        tmp_path / "one.png", range(1, 61), {"Dice": {"a": [0.5] * 60}}, title="t", xlabel="s", logarithmic=True
    )
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["many.png", "one.png"]
    assert 0.01 < ink(tmp_path / "one.png") < 0.5
    assert ink(tmp_path / "many.png") > 0.01
