"""compare --external: predictions of another program beside our runs, and what is wrong with them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.cli import run
from autodiffseg.evaluation.folder import evaluate_folder
from autodiffseg.evaluation.summary import write_summary
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.labels import LabelSpec
from autodiffseg.runs import RunRecord, run_name

CASES = [f"case{i}" for i in range(7)]
DATASET = "Dataset001_Toy"
SPEC = LabelSpec(labels={"background": 0, "one": 1, "two": 2})


def save(path: Path, *, shift: int = 0, value: int = 2, spacing: float = 1.5) -> None:
    array = np.zeros((6, 7, 8), dtype=np.uint8)
    array[1:3, 1:4, 1 + shift : 4 + shift] = 1
    array[3:5, 2:5, 2:5] = value
    grid = Geometry(
        shape=array.shape,
        spacing=(spacing, 1.0, 1.0),
        origin=(0.0, 0.0, 0.0),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    )
    write_image(path, array, grid)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One validated run; the other program's predictions are `theirs/fold_*/validation` and equal the references."""
    planned = tmp_path / "preprocessed" / DATASET
    for index, case in enumerate(CASES):
        save(planned / "reference_labels" / f"{case}.nii.gz")
        save(tmp_path / "theirs" / f"fold_{index % 2}" / "validation" / f"{case}.nii.gz")
    content = {"channel_names": {"0": "MR"}, "labels": SPEC.labels, "file_ending": ".nii.gz"}
    (planned / "dataset.json").write_text(json.dumps(content))
    fold = tmp_path / "results" / DATASET / run_name("supervised", "cpu", "3d_fullres") / "fold_0"
    record = RunRecord(
        dataset=DATASET, trainer="supervised", plan="cpu", configuration="3d_fullres", tag="", fold="0", seed=0,
        options={}, plan_hash="", iterations=1, iterations_done=1, finished=True,
    )  # fmt: skip
    record.save(fold / "run.json")
    for case in CASES:
        save(fold / "validation" / f"{case}.nii.gz", shift=1)
    references = planned / "reference_labels"
    summary = evaluate_folder(fold / "validation", references, SPEC, ending=".nii.gz", cases=CASES)
    write_summary(summary, fold / "validation", prediction_seconds=14.0, peak_memory_gb=0.5)
    return tmp_path


def compare(workspace: Path, *arguments: str) -> int:
    return run(["compare", "1", "--workspace", str(workspace), "-o", str(workspace / "out"), *arguments])


def rows(workspace: Path) -> dict[str, dict[str, str]]:
    text = (workspace / "out" / "comparison.csv").read_text()
    return {row["run"]: row for row in csv.DictReader(text.splitlines())}


def test_folds_of_another_program_are_a_row(workspace: Path) -> None:
    assert compare(workspace, "--external", f"nnU-Net={workspace / 'theirs'}", "--baseline", "nnU-Net") == 0
    found = rows(workspace)
    assert float(found["nnU-Net"]["Dice_mean"]) == float(found["nnU-Net"]["NSD@1mm_mean"]) == 1.0
    assert float(found["supervised"]["Dice_one"]) == pytest.approx(2 / 3)
    assert float(found["supervised"]["Dice_difference"]) == pytest.approx(-1 / 6)
    assert (found["supervised"]["Prediction [s/case]"], found["nnU-Net"]["Prediction [s/case]"]) == ("2.00", "")


def test_the_json_names_label_maps_where_they_lie_now(workspace: Path, tmp_path: Path) -> None:
    assert compare(workspace, "--external", f"nnU-Net={workspace / 'theirs'}") == 0
    moved = workspace.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    assert compare(moved, "--external", f"nnU-Net={moved / 'theirs'}") == 0
    content = json.loads((moved / "out" / "comparison.json").read_text())
    for entrant in content["entrants"]:
        for case in entrant["trainings"][0].values():
            assert Path(case["prediction_file"]).is_file()
            assert Path(case["reference_file"]).is_file()
            assert moved in Path(case["prediction_file"]).parents


def test_a_flat_folder_and_folds_without_validation_are_read_too(workspace: Path) -> None:
    for case in CASES:
        save(workspace / "flat" / f"{case}.nii.gz")
        save(workspace / "plain" / "fold_3" / f"{case}.nii.gz")
    two = ["--external", f"a={workspace / 'flat'}", "--external", f"b={workspace / 'plain'}"]
    assert compare(workspace, *two) == 0
    assert rows(workspace)["a"]["Dice_mean"] == rows(workspace)["b"]["Dice_mean"] == "1.0"


def test_other_programs_are_compared_without_any_run_of_ours(workspace: Path) -> None:
    shutil.rmtree(workspace / "results")
    for case in CASES:
        save(workspace / "flat" / f"{case}.nii.gz", shift=2)
    both = [f"a={workspace / 'flat'}", f"b={workspace / 'theirs'}"]
    assert compare(workspace, "--external", both[0], "--external", both[1]) == 0
    assert float(rows(workspace)["b"]["Dice_difference"]) > 0


def test_other_cases_are_refused_before_scoring_and_can_be_intersected(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = workspace / "theirs"
    (theirs / "fold_0" / "validation" / "case0.nii.gz").unlink()
    save(theirs / "fold_0" / "validation" / "stranger.nii.gz")
    assert compare(workspace, "--external", f"nnU-Net={theirs}") == 2
    assert "nnU-Net lacks 1 (case0)" in capsys.readouterr().err
    assert compare(workspace, "--external", f"nnU-Net={theirs}", "--intersection") == 0
    assert {row["cases"] for row in rows(workspace).values()} == {"6"}
    assert "1 cases of nnU-Net that have no reference" in (workspace / "out" / "comparison.md").read_text()


def test_a_class_that_is_never_predicted_is_told(workspace: Path) -> None:
    for case in CASES:
        save(workspace / "flat" / f"{case}.nii.gz", value=0)
    assert compare(workspace, "--external", f"x={workspace / 'flat'}") == 0
    assert "x predicts 'two' in no case" in (workspace / "out" / "comparison.md").read_text()


def test_wrong_predictions_are_named(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = workspace / "theirs" / "fold_1" / "validation" / "case3.nii.gz"
    for change, words in (({"value": 7}, "holds the label 7"), ({"spacing": 2.0}, "has spacing")):
        save(path, **change)  # type: ignore[arg-type]
        assert compare(workspace, "--external", f"nnU-Net={workspace / 'theirs'}") == 2
        told = capsys.readouterr().err
        assert "case3.nii.gz" in told
        assert words in told
    save(workspace / "theirs" / "fold_0" / "validation" / "case3.nii.gz")
    assert compare(workspace, "--external", f"nnU-Net={workspace / 'theirs'}") == 2
    assert "are of the same case" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("theirs", "give a name and a folder"),
        ("x=nowhere", "nowhere is no folder"),
        ("supervised={theirs}", "a run has this name"),
        ("x={empty}", "holds no label maps"),
    ],
)
def test_mistakes_are_told(workspace: Path, capsys: pytest.CaptureFixture[str], option: str, words: str) -> None:
    (workspace / "empty").mkdir()
    filled = option.format(theirs=workspace / "theirs", empty=workspace / "empty")
    assert compare(workspace, "--external", filled) == 2
    assert words in capsys.readouterr().err
