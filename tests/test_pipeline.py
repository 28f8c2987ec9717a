"""The main path on a phantom: plan, train, predict, evaluate, compare; which files appear, and that numbers agree."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.cli import run
from autodiffseg.images import read_geometry, read_label

NAME = "Dataset900_Phantom"
VALIDATED = ("phantom_003", "phantom_005")  # fold 0 of six cases, by nnU-Net's rule


def files_of(folder: Path) -> set[str]:
    """Everything in a folder and below, without the event files of an optional package."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("tensorboard/")}


def model(workspace: Path, trainer: str) -> Path:
    return workspace / "results" / NAME / f"{trainer}__cpu__3d_fullres"


@pytest.fixture(scope="module")
def predicted(trained_phantom: Path, phantom_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predictions")
    arguments = ["predict", "-i", str(phantom_raw / "imagesTs"), "-o", str(out), "--device", "cpu", "--no-mirroring"]
    assert run([*arguments, "--model", str(model(trained_phantom, "recycling")), "--steps", "2"]) == 0
    return out


def test_planning_writes_what_training_needs_and_nothing_else(planned_phantom: Path) -> None:
    found = files_of(planned_phantom / "preprocessed" / NAME)
    stored = {name for name in found if name.startswith("3d_fullres-")}
    assert {Path(name).name for name in stored} == {
        f"phantom_{number:03d}.{kind}"
        for number in range(6)
        for kind in ("json", "image.b2nd", "label.b2nd", "locations.b2nd")
    }
    labels = {f"reference_labels/phantom_{number:03d}.nii.gz" for number in range(6)}
    single = {"dataset.json", "fingerprint.json", "raw_files.json", "splits_final.json"}
    plans = {"plans/cpu.json", "plans/cpu_explained.md"}
    assert {name for name in found - stored if not name.startswith("2d-")} == labels | single | plans


def test_validate_refuses_a_sampling_that_does_not_exist(
    trained_phantom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["validate", "Phantom", "3d_fullres", "0", "--device", "cpu", "--workspace", str(trained_phantom)]
    for more, words in (
        (["--sampler", "ddim", "--eta", "2"], "--eta 2"),
        (["--variance", "large"], "--variance large"),
    ):
        assert run([*arguments, *more]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("trainer", ["supervised", "recycling"])
def test_training_leaves_a_whole_fold(trainer: str, trained_phantom: Path) -> None:
    assert files_of(model(trained_phantom, trainer) / "fold_0") == {
        "run.json",
        "checkpoint_last.pt",
        "checkpoint_best.pt",
        "progress.csv",
        "progress.png",
        "validation/summary.json",
        *(f"validation/{case}.nii.gz" for case in VALIDATED),
    }


@pytest.mark.parametrize("trainer", ["supervised", "recycling"])
def test_the_summary_of_a_fold_holds_the_dice_of_its_files(trainer: str, trained_phantom: Path) -> None:
    folder = model(trained_phantom, trainer) / "fold_0" / "validation"
    summary = json.loads((folder / "summary.json").read_text())
    references = trained_phantom / "preprocessed" / NAME / "reference_labels"
    wanted: dict[str, list[float]] = {"1": [], "2": []}
    for case in VALIDATED:
        predicted, _ = read_label(folder / f"{case}.nii.gz")
        reference, _ = read_label(references / f"{case}.nii.gz")
        for value, dice in wanted.items():
            a, b = predicted == int(value), reference == int(value)
            dice.append(2 * np.sum(a & b) / (a.sum() + b.sum()))
    assert summary["mean"]["1"]["Dice"] == pytest.approx(np.mean(wanted["1"]))
    assert summary["foreground_mean"]["Dice"] == pytest.approx(np.mean([np.mean(dice) for dice in wanted.values()]))


def test_predictions_lie_on_the_grid_of_their_images(predicted: Path, phantom_raw: Path) -> None:
    assert files_of(predicted) == {"dataset.json", "predict.json", "phantom_006.nii.gz", "phantom_007.nii.gz"}
    for case in ("phantom_006", "phantom_007"):
        grid = read_geometry(predicted / f"{case}.nii.gz")
        assert grid == read_geometry(phantom_raw / "imagesTs" / f"{case}_0000.nii.gz")


def test_predictions_are_evaluated_against_labels(predicted: Path, phantom_raw: Path, tmp_path: Path) -> None:
    labels = str(phantom_raw / "labelsTs")
    assert run(["evaluate", "-p", str(predicted), "-r", labels, "-o", str(tmp_path / "scores")]) == 0
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert len(summary["metric_per_case"]) == 2
    assert "summary.json" not in files_of(predicted)


def test_the_reference_itself_scores_one(phantom_raw: Path, tmp_path: Path) -> None:
    labels, own = phantom_raw / "labelsTs", tmp_path / "perfect"
    shutil.copytree(labels, own)
    shutil.copy(phantom_raw / "dataset.json", own)
    assert run(["evaluate", "-p", str(own), "-r", str(labels)]) == 0
    assert json.loads((own / "summary.json").read_text())["foreground_mean"]["Dice"] == 1


def test_the_runs_are_compared_over_the_cases_that_both_have(
    trained_phantom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", "Phantom", "--workspace", str(trained_phantom)]) == 0
    told = capsys.readouterr().out
    assert "supervised" in told
    assert "recycling" in told


def test_a_run_is_not_trained_over(trained_phantom: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (model(trained_phantom, "supervised") / "fold_0" / "run.json").read_bytes()
    arguments = ["train", "Phantom", "3d_fullres", "0", "--trainer", "supervised", "--iterations", "4"]
    assert run([*arguments, "--workspace", str(trained_phantom)]) == 2
    assert "--continue" in capsys.readouterr().err
    assert (model(trained_phantom, "supervised") / "fold_0" / "run.json").read_bytes() == before
