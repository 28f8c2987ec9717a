"""Step curves: means of a case first, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodiffseg.errors import UserError
from autodiffseg.evaluation.step_curves import read_step_curves

ROWS = """case,sample,step,class,Dice,HD95
a,0,1,one,0.2,4.0
a,0,1,two,,
b,0,1,one,0.6,2.0
b,0,1,two,0.8,4.0
a,0,2,one,0.3,1.0
a,0,2,two,0.5,1.0
b,0,2,one,1.0,1.0
b,0,2,two,1.0,1.0
"""


def test_a_case_counts_by_its_mean_over_classes_that_have_a_value(tmp_path: Path) -> None:
    path = tmp_path / "steps_cases.csv"
    path.write_text(ROWS)
    curves = read_step_curves(path, ["a", "b"])
    assert curves is not None
    assert curves["Dice"] == pytest.approx({1: (0.2 + 0.7) / 2, 2: (0.4 + 1.0) / 2})
    assert curves["HD95"] == pytest.approx({1: (4 + 3) / 2, 2: 1.0})
    assert read_step_curves(path, ["b"]) == {"Dice": {1: pytest.approx(0.7), 2: 1.0}, "HD95": {1: 3.0, 2: 1.0}}


def test_files_of_other_cases_give_no_curve_and_damaged_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "steps_cases.csv"
    path.write_text(ROWS)
    assert read_step_curves(path, ["a", "c"]) is None
    path.write_text(ROWS.replace("0.2", "two"))
    with pytest.raises(UserError, match=r"steps_cases\.csv is not what"):
        read_step_curves(path, ["a"])
