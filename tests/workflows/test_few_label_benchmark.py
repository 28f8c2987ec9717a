"""The benchmark of few labels: its rows, what is passed to which trainer, and the predictions of a shifted set."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import typer

from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.cli import build_app, run
from autodiffseg.dataset import group_case_files
from autodiffseg.file_hashes import hash_cases
from autodiffseg.runs import RunRecord
from autodiffseg.workflows.study import Labels

from .test_benchmark import DATASET, leave, typed
from .test_demo import parse


@pytest.fixture
def place(planned_phantom: Path, tmp_path: Path) -> Path:
    """A workspace in which the phantom is planned and preprocessed."""
    return shutil.copytree(planned_phantom, tmp_path / "workspace")


def shifted(phantom_raw: Path) -> list[str]:
    return ["--shifted", str(phantom_raw / "imagesTs"), str(phantom_raw / "labelsTs"), "Other"]


def analysed(command: list[str]) -> dict[str, object]:
    """What `analyse labels` would be called with."""
    group = typer.main.get_command(build_app()).commands["analyse"]  # type: ignore[attr-defined]  # a group
    return dict(group.commands[command[1]].make_context(command[1], list(command[2:])).params)


def leave_prediction(place: Path, tag: str, phantom_raw: Path) -> Path:
    """Predictions of the shifted set as `predict` leaves them; their folder."""
    fold = place / "results" / DATASET / "__".join(("supervised", "cpu", "3d_fullres", tag)) / "fold_0"
    folder = fold / "shifted" / "Other"
    folder.mkdir(parents=True)
    used = {"0": checkpoint_id(fold / "checkpoint_last.pt")}
    images = hash_cases(group_case_files(phantom_raw / "imagesTs", ".nii.gz"), threads=1)
    (folder / "predict.json").write_text(json.dumps({"models": [{"checkpoints": used}], "images": images}))
    for label in (phantom_raw / "labelsTs").iterdir():
        shutil.copy(label, folder / label.name)
    return folder


def test_every_number_of_labels_is_trained_with_every_seed_and_all_labels_once(place: Path) -> None:
    _, commands = typed(place, "--n-labelled", "1", "3", "all", "--label-seeds", "0", "2")
    steps = [parse(command) for command in commands[:-1] if command[4:6] == ["--trainer", "supervised"]]
    assert [(step["n_labelled"], step["label_seed"]) for step in steps] == [
        (1, None), (1, 2), (3, None), (3, 2), (None, None),
    ]  # fmt: skip
    assert len(commands) == 2 * 5 + 1


def test_at_the_end_the_rows_are_put_in_order_with_the_same_choice(place: Path, phantom_raw: Path) -> None:
    _, commands = typed(
        place, "--n-labelled", "1", "all", "--label-seeds", "1", *shifted(phantom_raw), "--tag", "short"
    )
    last = analysed(commands[-1])
    assert (last["n_labelled"], last["label_seeds"], last["tag"]) == (["1", "all"], [1], "short")
    assert last["trainers"] == ["supervised", "recycling"]
    assert last["shifted"] == (phantom_raw / "imagesTs", phantom_raw / "labelsTs", "Other")
    assert last["html"] == place / "results" / DATASET / "labels.html"


def test_every_row_predicts_the_shifted_set_right_after_its_training(place: Path, phantom_raw: Path) -> None:
    _, commands = typed(place, "--n-labelled", "1", *shifted(phantom_raw))
    assert [command[0] for command in commands] == ["train", "predict"] * 2 + ["analyse"]
    step = parse(commands[1])
    model = place / "results" / DATASET / "supervised__cpu__3d_fullres__n1-ls0"
    assert (step["models"], step["folds"], step["source"]) == ([model], ["0"], phantom_raw / "imagesTs")
    assert step["out"] == model / "fold_0" / "shifted" / "Other"
    assert (step["postprocess"], step["go_on"]) == (False, False)


def test_a_shifted_set_without_numbers_of_labels_adds_to_the_usual_comparison(place: Path, phantom_raw: Path) -> None:
    _, commands = typed(place, *shifted(phantom_raw))
    assert [command[0] for command in commands] == ["train", "predict"] * 2 + ["compare", "analyse"]
    assert analysed(commands[-1])["n_labelled"] == ["all"]


def test_rows_and_predictions_that_are_there_are_skipped(place: Path, phantom_raw: Path) -> None:
    leave(place, "supervised", tag="n1-ls0")
    folder = leave_prediction(place, "n1-ls0", phantom_raw)
    asked = ("--n-labelled", "1", *shifted(phantom_raw))
    assert [command[0] for command in typed(place, *asked)[1]] == ["train", "predict", "analyse"]
    next(folder.glob("*.nii.gz")).unlink()
    again = typed(place, *asked)[1]
    assert [command[0] for command in again] == ["predict", "train", "predict", "analyse"]
    assert parse(again[0])["go_on"]
    (folder.parents[1] / "checkpoint_last.pt").write_bytes(b"trained on since")
    assert not parse(typed(place, *asked)[1][0])["go_on"]


def test_another_set_of_the_same_name_and_cases_is_predicted_from_the_start(
    place: Path, phantom_raw: Path, tmp_path: Path
) -> None:
    leave(place, "supervised", tag="n1-ls0")
    leave_prediction(place, "n1-ls0", phantom_raw)
    images = shutil.copytree(phantom_raw / "imagesTs", tmp_path / "images")
    first, second = sorted(images.iterdir())
    shutil.copy(first, second)
    other = ("--shifted", str(images), str(phantom_raw / "labelsTs"), "Other")
    step = parse(typed(place, "--n-labelled", "1", *other)[1][0])
    assert (step["source"], step["go_on"]) == (images, False)


def test_only_the_trainers_that_read_a_backbone_are_given_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autodiffseg.workflows.study.reads_backbone", lambda trainer: trainer == "recycling")
    (tmp_path / "backbone.pt").touch()
    _, commands = typed(place, "--backbone", str(tmp_path / "backbone.pt"))
    given = {command[5]: "--backbone" in command for command in commands if command[0] == "train"}
    assert given == {"supervised": False, "recycling": True}


def test_a_row_on_another_backbone_is_not_taken_for_one_on_this(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("autodiffseg.workflows.study.reads_backbone", lambda trainer: trainer == "recycling")
    file = tmp_path / "backbone.pt"
    file.write_bytes(b"this")
    leave(place, "recycling")
    path = place / "results" / DATASET / "recycling__cpu__3d_fullres" / "fold_0" / "run.json"
    for backbone, ended in ((hashlib.sha256(b"this").hexdigest(), 0), (hashlib.sha256(b"that").hexdigest(), 2)):
        RunRecord.load(path).model_copy(update={"backbone": backbone}).save(path)
        assert typed(place, "--backbone", str(file))[0] == ended
    assert "began with another backbone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--n-labelled", "1", "5"], "--n-labelled 5: fold 0 has 4 training cases; ask for 4 or fewer"),
        (["--n-labelled", "1", "1"], "--n-labelled 1 is given twice"),
        (["--n-labelled", "1", "--label-seeds", "0", "0"], "--label-seeds 0 is given twice"),
        (["--label-seeds", "1"], "give that too"),
        (["--backbone", "nowhere.pt"], "none of supervised, recycling reads one"),
        (["--shifted", "nowhere", "nowhere", "Other"], "nowhere is no folder"),
    ],
)
def test_mistakes_are_refused_before_work_starts(
    place: Path, more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, commands = typed(place, *more)
    assert (ended, commands) == (2, [])
    assert told in capsys.readouterr().err


def test_a_trainer_that_lacks_its_backbone_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("autodiffseg.workflows.study.reads_backbone", lambda trainer: trainer == "recycling")
    assert typed(place) == (2, [])
    assert "recycling begins with a pretrained backbone" in capsys.readouterr().err


def test_a_shifted_set_of_other_classes_is_refused(
    place: Path, phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(phantom_raw / "labelsTs", tmp_path / "labels")
    declared = json.loads((phantom_raw / "dataset.json").read_text())
    (tmp_path / "labels" / "dataset.json").write_text(json.dumps({**declared, "labels": {"background": 0, "liver": 1}}))
    assert typed(place, "--shifted", str(phantom_raw / "imagesTs"), str(tmp_path / "labels"), "Other") == (2, [])
    assert "Other declares the class 'liver'" in capsys.readouterr().err


def test_a_shifted_set_that_lacks_images_is_refused_before_anything_is_trained(
    place: Path, phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = shutil.copytree(phantom_raw / "imagesTs", tmp_path / "images")
    next(images.iterdir()).unlink()
    assert typed(place, "--shifted", str(images), str(phantom_raw / "labelsTs"), "Other") == (2, [])
    assert "has no image of 1 of the 2 cases" in capsys.readouterr().err


def test_labels_are_told_in_words() -> None:
    assert [Labels().told, Labels(1).told, Labels(3, 2).told] == ["", ", 1 label", ", 3 labels of seed 2"]


@pytest.mark.slow
def test_a_few_label_benchmark_runs_to_its_page_and_then_trains_nothing(
    place: Path, phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    arguments = ["benchmark", "Phantom", "--workspace", str(place), "--trainer", "supervised", "--html", str(page)]
    arguments += ["--iterations", "1", "--device", "cpu", "--n-labelled", "1", "2", *shifted(phantom_raw)]
    assert run(arguments) == 0
    assert "Dice Other" in page.read_text(encoding="utf-8")
    capsys.readouterr()
    assert run(arguments) == 0
    told = capsys.readouterr().out
    assert "$ autodiffseg analyse labels" in told
    assert "$ autodiffseg train" not in told
    assert "$ autodiffseg predict" not in told
