"""evaluate: which cases are scored, what the labels mean, and what is written."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from autodiffseg.cli import run
from autodiffseg.evaluation.evaluate import SHOWN, summary_table
from autodiffseg.evaluation.folder import evaluate_folder
from autodiffseg.evaluation.summary import load_summary, write_summary
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.labels import LabelSpec

SPEC = LabelSpec(labels={"background": 0, "one": 1, "two": 2})


def save(path: Path, *ones: int, spacing: float = 2.0, two: bool = True) -> None:
    array = np.zeros((4, 5, 6), dtype=np.uint8)
    for index in ones:
        array[1, 1, index] = 1
    array[3, 3, 3] = 2 if two else 0
    grid = Geometry(
        shape=array.shape,
        spacing=(spacing, 1.0, 1.0),
        origin=(0.0, 0.0, 0.0),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    )
    write_image(path, array, grid)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for case in ("a", "b"):
        save(tmp_path / "ref" / f"{case}.nii.gz", 0, 1)
        save(tmp_path / "pred" / f"{case}.nii.gz", 1, 2, two=case == "a")
    return tmp_path / "pred", tmp_path / "ref"


def test_scores_and_their_means_are_in_nnunets_shape(folders: tuple[Path, Path]) -> None:
    assert run(["evaluate", "-p", str(folders[0]), "-r", str(folders[1])]) == 0
    content = json.loads((folders[0] / "summary.json").read_text())
    assert content["mean"]["1"]["Dice"] == pytest.approx(0.5)
    assert content["mean"]["2"]["Dice"] == pytest.approx(0.5)
    assert content["foreground_mean"]["Dice"] == pytest.approx(0.5)
    first = content["metric_per_case"][0]["metrics"]["1"]
    assert (first["TP"], first["FP"], first["FN"], first["n_pred"], first["n_ref"]) == (1, 1, 1, 2, 2)
    assert first["HD95"] == pytest.approx(0.95)  # directed distances 0 and 1: their 95th percentile
    missed = content["metric_per_case"][1]["metrics"]["2"]
    assert missed["HD95"] == pytest.approx(math.sqrt(8**2 + 5**2 + 6**2))


def test_a_summary_survives_writing_and_reading_with_nan(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    spec = LabelSpec(labels={"background": 0, "one": 1, "nowhere": 3})
    summary = evaluate_folder(*folders, spec, ending=".nii.gz", cases=["a", "b"])
    assert summary.n_empty == {"1": 0, "3": 2}
    assert ": NaN" not in write_summary(summary, tmp_path).read_text()
    again = load_summary(tmp_path / "summary.json")
    assert again.cases[0].metrics["1"] == summary.cases[0].metrics["1"]
    assert math.isnan(again.cases[0].metrics["3"]["Dice"])
    assert again.classes == {"1": "one", "3": "nowhere"}


@pytest.mark.parametrize("file", ["/data/sub-1.5_a.nii.gz", "C:\\data\\sub-1.5_a.png", "sub-1.5_a.nii.gz"])
def test_nnunets_summary_names_cases_by_file_and_ids_may_hold_dots(tmp_path: Path, file: str) -> None:
    entry = {"metrics": {"1": {"Dice": float("nan")}}, "prediction_file": file, "reference_file": file}
    (tmp_path / "summary.json").write_text(json.dumps({"mean": {"1": {}}, "metric_per_case": [entry]}))
    (case,) = load_summary(tmp_path / "summary.json").cases
    assert case.case == "sub-1.5_a"
    assert math.isnan(case.metrics["1"]["Dice"])


def test_the_table_shows_units_and_class_names_with_brackets(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"background": 0, "[red]one[/blue]": 1, "two": 2}
    (folders[0] / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz"})
    )
    assert run(["evaluate", "-p", str(folders[0]), "-r", str(folders[1])]) == 0
    shown = capsys.readouterr().out
    assert "HD95 [mm]" in shown
    assert "[red]one[/blue]" in shown


def test_a_narrow_terminal_keeps_the_class_names_whole(folders: tuple[Path, Path]) -> None:
    spec = LabelSpec(labels={"background": 0, "Posterior": 1, "left_internal_carotid_artery": 2})
    summary = evaluate_folder(*folders, spec, ending=".nii.gz", cases=["a"])
    narrow = Console(width=80, file=io.StringIO(), record=True)
    narrow.print(summary_table(summary, SHOWN))
    shown = narrow.export_text()
    assert "Posterior" in shown
    assert "left_internal_caroti" in shown  # a longer one goes on in the next line
    assert "d_artery" in shown


def test_labels_come_from_dataset_json_beside_the_predictions(folders: tuple[Path, Path]) -> None:
    content = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "both": [1, 2]}, "file_ending": ".nii.gz"}
    (folders[0] / "dataset.json").write_text(json.dumps({**content, "regions_class_order": [1]}))
    assert run(["evaluate", "-p", str(folders[0]), "-r", str(folders[1])]) == 0
    assert list(json.loads((folders[0] / "summary.json").read_text())["mean"]) == ["(1, 2)"]


def test_a_missing_prediction_is_refused_unless_the_intersection_is_asked_for(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (folders[0] / "b.nii.gz").unlink()
    arguments = ["evaluate", "-p", str(folders[0]), "-r", str(folders[1]), "-o", str(tmp_path / "out")]
    assert run(arguments) == 2
    assert "b.nii.gz" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run([*arguments, "--intersection"]) == 0
    assert len(json.loads((tmp_path / "out" / "summary.json").read_text())["metric_per_case"]) == 1


def test_metrics_are_chosen_and_every_case_is_in_the_csv(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "-p", str(folders[0]), "-r", str(folders[1])]
    assert run([*arguments, "--metrics", "NSD@1.5mm,HD", "--metrics", "Sensitivity"]) == 0
    shown = capsys.readouterr().out
    assert all(title in shown for title in ("NSD@1.5mm", "HD [mm]", "Sensitivity", "One empty"))
    rows = list(csv.DictReader((folders[0] / "summary_cases.csv").read_text().splitlines()))
    assert [(row["case"], row["class"]) for row in rows] == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")]
    assert (rows[0]["HD"], rows[0]["Sensitivity"], rows[0]["TP"]) == ("1.0", "0.5", "1")
    assert "HD95" not in rows[0]
    assert run([*arguments, "--metrics", "hd95"]) == 2
    assert "no metric 'hd95'" in capsys.readouterr().err


def test_what_a_validation_noted_survives_scoring_it_anew(folders: tuple[Path, Path]) -> None:
    arguments = ["evaluate", "-p", str(folders[0]), "-r", str(folders[1]), "--metrics", "Dice"]
    assert run(arguments) == 0
    path = folders[0] / "summary.json"
    noted = {"checkpoint": "last", "updates": 7, "passes": 5, "prediction_seconds": 2.5}
    path.write_text(json.dumps({**json.loads(path.read_text()), **noted}))
    assert run([*arguments, "--metrics", "HD"]) == 0
    assert noted.items() <= json.loads(path.read_text()).items()
    assert "HD" in load_summary(path).mean["1"]


def test_a_class_that_only_the_predictions_have_is_scored(folders: tuple[Path, Path]) -> None:
    save(folders[1] / "a.nii.gz", 0, 1, two=False)
    save(folders[1] / "b.nii.gz", 0, 1, two=False)
    assert run(["evaluate", "-p", str(folders[0]), "-r", str(folders[1])]) == 0
    content = json.loads((folders[0] / "summary.json").read_text())
    assert content["mean"]["2"]["Dice"] == 0  # invented in a; absent from both in b
    assert (content["n_empty"]["2"], content["n_empty_reference"]["2"], content["n_empty_prediction"]["2"]) == (1, 1, 0)


def test_predictions_without_a_reference_are_told(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    save(folders[0] / "c.nii.gz", 1)
    assert run(["evaluate", "-p", str(folders[0]), "-r", str(folders[1])]) == 0
    assert "Left out: 1 cases without a reference." in capsys.readouterr().out


def test_files_on_different_grids_are_named(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    save(folders[0] / "a.nii.gz", 1, spacing=2.5)
    assert run(["evaluate", "-p", str(folders[0]), "-r", str(folders[1])]) == 2
    told = capsys.readouterr().err
    assert "a.nii.gz has spacing" in told
    assert "Traceback" not in told


def test_ignored_voxels_have_no_surface(tmp_path: Path) -> None:
    save(tmp_path / "ref" / "a.nii.gz", 0)
    save(tmp_path / "pred" / "a.nii.gz", 0, two=False)
    spec = LabelSpec(labels={"background": 0, "one": 1, "ignore": 2})
    summary = evaluate_folder(tmp_path / "pred", tmp_path / "ref", spec, ending=".nii.gz", cases=["a"])
    assert summary.cases[0].metrics["1"]["HD95"] == 0
    assert summary.cases[0].metrics["1"]["TN"] == 4 * 5 * 6 - 2
