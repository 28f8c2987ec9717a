"""The analysis of labels: its numbers are those of validation and of `evaluate`, and nothing is predicted twice."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autodiffseg.cli import run
from autodiffseg.evaluation.summary import load_summary

NAME = "Dataset900_Phantom"
FOUR_UPDATES = ("--iterations", "4", "--device", "cpu", "--precision", "fp32", "--num-workers", "0")
Analyse = Callable[..., list[dict[str, str]]]


@pytest.fixture(scope="module")
def place(trained_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with `supervised` trained on all four training cases of fold 0, and on one."""
    workspace = tmp_path_factory.mktemp("few")
    shutil.copytree(trained_phantom, workspace, dirs_exist_ok=True)
    arguments = ["train", "Phantom", "3d_fullres", "0", "--trainer", "supervised", "--n-labelled", "1"]
    arguments += [*FOUR_UPDATES, "--set", "validation_batches=1", "--workspace", str(workspace)]
    assert run(arguments) == 0
    return workspace


@pytest.fixture
def analyse(place: Path, phantom_raw: Path, tmp_path: Path) -> Analyse:
    """A function that analyses and gives the rows of the table."""

    def analyse(*more: str) -> list[dict[str, str]]:
        out = tmp_path / "out"
        fixed = ["--device", "cpu", "--precision", "fp32", "--workspace", str(place), "-o", str(out)]
        assert run(["analyse", "labels", "Phantom", "--trainer", "supervised", *fixed, *more]) == 0
        assert {path.name for path in out.iterdir()} == {
            f"labels{end}" for end in (".md", ".csv", "_cases.csv", ".png")
        }
        with (out / "labels.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return analyse


def shifted(phantom_raw: Path) -> list[str]:
    return ["--shifted", str(phantom_raw / "imagesTs"), str(phantom_raw / "labelsTs"), "Other"]


def fold(place: Path, tag: str = "") -> Path:
    return place / "results" / NAME / f"supervised__cpu__3d_fullres{tag}" / "fold_0"


def test_rows_are_in_order_of_their_labels_with_the_scores_of_validation(place: Path, analyse: Analyse) -> None:
    rows = analyse()
    assert [(row["labels"], row["method"], row["trainings"]) for row in rows] == [
        ("1", "supervised", "1"),
        ("4", "supervised", "1"),
    ]
    for row, tag in zip(rows, ("__n1-ls0", ""), strict=True):
        mean = load_summary(fold(place, tag) / "validation" / "summary.json").foreground_mean["Dice"]
        assert row[f"Dice {NAME}"].split()[0] == f"{mean:.4f}"


def test_a_shifted_set_is_predicted_as_predict_does_and_scored_as_evaluate_does(
    place: Path, analyse: Analyse, phantom_raw: Path, tmp_path: Path
) -> None:
    rows = analyse(*shifted(phantom_raw))
    model, mine = fold(place, "__n1-ls0").parent, tmp_path / "mine"
    predict = ["predict", "-i", str(phantom_raw / "imagesTs"), "-o", str(mine), "--model", str(model)]
    assert run([*predict, "--no-postprocessing", "--device", "cpu", "--precision", "fp32"]) == 0
    assert run(["evaluate", "-p", str(mine), "-r", str(phantom_raw / "labelsTs")]) == 0
    mean = load_summary(mine / "summary.json").foreground_mean["Dice"]
    assert rows[0]["Dice Other"].split()[0] == f"{mean:.4f}"


def test_what_is_predicted_is_not_predicted_again_until_the_weights_change(
    place: Path, analyse: Analyse, phantom_raw: Path
) -> None:
    analyse(*shifted(phantom_raw))
    folder = fold(place) / "shifted" / "Other"
    label_map = next(folder.glob("*.nii.gz"))
    before = label_map.stat().st_mtime_ns
    label_map.unlink()
    analyse(*shifted(phantom_raw))  # that one alone is predicted again
    assert label_map.stat().st_mtime_ns > before
    kept = label_map.stat().st_mtime_ns
    analyse(*shifted(phantom_raw))
    assert label_map.stat().st_mtime_ns == kept
    record = json.loads((folder / "predict.json").read_text())
    record["models"][0]["checkpoints"]["0"] = "of other weights"
    (folder / "predict.json").write_text(json.dumps(record))
    analyse(*shifted(phantom_raw))
    assert label_map.stat().st_mtime_ns > kept


def test_scores_that_are_older_than_the_predictions_are_made_anew(
    place: Path, analyse: Analyse, phantom_raw: Path
) -> None:
    analyse(*shifted(phantom_raw))
    scores = fold(place) / "shifted" / "Other" / "summary.json"
    earlier = scores.with_name("predict.json").stat().st_mtime - 1
    os.utime(scores, (earlier, earlier))  # `predict` has been run since
    analyse(*shifted(phantom_raw))
    assert scores.stat().st_mtime > earlier + 0.5


def test_other_images_under_the_same_name_are_predicted_and_other_labels_scored(
    place: Path, analyse: Analyse, phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    analyse(*shifted(phantom_raw))
    images = shutil.copytree(phantom_raw / "imagesTs", tmp_path / "images")
    labels = shutil.copytree(phantom_raw / "labelsTs", tmp_path / "labels")
    shutil.copy(phantom_raw / "dataset.json", tmp_path / "dataset.json")
    asked = ("--n-labelled", "all", "--shifted", str(images), str(labels), "Other")
    capsys.readouterr()
    first = analyse(*asked)
    assert "Predicting" not in capsys.readouterr().out  # it has only moved
    for folder in (images, labels):
        one, two = sorted(folder.glob("*.nii.gz"))
        shutil.copy(one, two)
        changed = analyse(*asked)
        assert ("Predicting" in capsys.readouterr().out) == (folder == images)
        assert changed != first
        first = changed
    folder = fold(place) / "shifted" / "Other"
    made = [(folder / name.name).read_bytes() for name in sorted(labels.glob("*.nii.gz"))]
    assert made[0] == made[1]


def test_numbers_of_labels_choose_the_rows(analyse: Analyse) -> None:
    assert [row["labels"] for row in analyse("--n-labelled", "all")] == ["4"]
    assert [row["labels"] for row in analyse("--n-labelled", "1", "all")] == ["1", "4"]


def test_the_page_holds_its_table_and_figure_and_loads_nothing(analyse: Analyse, tmp_path: Path) -> None:
    page = tmp_path / "labels.html"
    rows = analyse("--html", str(page))
    text = page.read_text(encoding="utf-8")
    assert all(row[f"Dice {NAME}"] in text for row in rows)
    assert "<svg" in text
    assert "--n-labelled 1" in text  # the command of that training
    assert re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*\"", text) == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--baseline", "magic"), "Baseline 'magic' is not among supervised."),
        (("--n-labelled", "2"), "holds no validated run that fits"),
        (("--n-labelled", "none"), "whole numbers from 1 on and 'all' are possible"),
        (("--shifted", "nowhere", "nowhere", "Other"), "nowhere is no folder"),
    ],
)
def test_what_cannot_be_analysed_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert run(["analyse", "labels", "Phantom", "--trainer", "supervised", "--workspace", str(place), *more]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
