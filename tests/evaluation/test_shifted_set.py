"""Tests of scoring a second labelled set on the classes that it declares itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.evaluation.shifted_set import ShiftedSet, read_shifted_set, score_shifted, translated_labels
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.labels import LabelSpec

DATASET = DatasetJson(
    channel_names={"0": "x"},
    labels={"background": 0, "right": 1, "left": 2, "heart": 3},
    file_ending=".nii.gz",
)
MODEL = DATASET.spec
GRID = Geometry(shape=(1, 4, 6), spacing=(1, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))


def declare(folder: Path, **labels: Any) -> None:
    content = {"channel_names": {"0": "x"}, "labels": {"background": 0, **labels}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(content))


def write(folder: Path, case: str, *rows: list[int]) -> None:
    folder.mkdir(exist_ok=True)
    write_image(folder / f"{case}.nii.gz", np.array([rows], dtype=np.uint8), GRID)


@pytest.fixture
def shifted(tmp_path: Path) -> ShiftedSet:
    """One case: six voxels of `left` (1 here, 2 in the model), six of `right` (2 here)."""
    write(tmp_path / "labels", "a", [1] * 6, [2] * 6, [0] * 6, [0] * 6)
    write(tmp_path / "images", "a_0000", *[[7] * 6] * 4)
    declare(tmp_path, left=1, right=2)
    return read(tmp_path)


def read(folder: Path, name: str = "other", **model: Any) -> ShiftedSet:
    declared = DATASET.model_copy(update=model)
    return read_shifted_set(folder / "images", folder / "labels", name, model=declared)


def dice(shifted: ShiftedSet, predictions: Path, model: LabelSpec = MODEL) -> dict[str, float]:
    summary = score_shifted(shifted, predictions, model, ending=".nii.gz", metrics=("Dice",))
    return {summary.classes[key]: scores["Dice"] for key, scores in summary.cases[0].metrics.items()}


def test_classes_are_matched_by_name_and_what_the_set_does_not_declare_is_background(
    shifted: ShiftedSet, tmp_path: Path
) -> None:
    write(tmp_path / "predictions", "a", [2] * 6, [1, 1, 1, 3, 3, 3], [3] * 6, [0] * 6)
    assert dice(shifted, tmp_path / "predictions") == {"left": 1.0, "right": pytest.approx(2 * 3 / (3 + 6))}


def test_other_classes_of_the_model_are_not_scored(shifted: ShiftedSet, tmp_path: Path) -> None:
    write(tmp_path / "predictions", "a", [3] * 6, [3] * 6, [3] * 6, [3] * 6)
    assert dice(shifted, tmp_path / "predictions") == {"left": 0.0, "right": 0.0}


def test_the_declaration_among_the_labels_goes_before_the_one_beside_them(shifted: ShiftedSet, tmp_path: Path) -> None:
    declare(tmp_path / "labels", heart=2)
    again = read(tmp_path)
    assert list(again.classes.values()) == ["heart"]


def test_a_class_that_the_model_has_not_learned_is_refused(shifted: ShiftedSet, tmp_path: Path) -> None:
    declare(tmp_path, spleen=1)
    with pytest.raises(UserError, match="other declares the class 'spleen', which the model has not learned"):
        read(tmp_path)


def test_regions_need_the_same_integers(shifted: ShiftedSet, tmp_path: Path) -> None:
    write(tmp_path / "predictions", "a", [2] * 6, [1] * 6, [0] * 6, [0] * 6)
    both = LabelSpec(labels={"background": 0, "left": (1, 2), "right": 2}, regions_class_order=(1, 2))
    with pytest.raises(UserError, match="the region 'left' is"):
        dice(shifted, tmp_path / "predictions", both)
    declare(tmp_path, left=[1, 2], right=2)
    again = read(tmp_path, labels=both.labels, regions_class_order=(1, 2))
    assert dice(again, tmp_path / "predictions", both) == {"left": 1.0, "right": 0.0}


def test_missing_predictions_are_named(shifted: ShiftedSet, tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    with pytest.raises(UserError, match=r"no prediction of 1 of the 1 cases .* \(first: a\)"):
        dice(shifted, tmp_path / "predictions")


@pytest.mark.parametrize(
    ("missing", "message"),
    [("images", "is no folder"), ("dataset.json", "must say what the labels mean"), ("labels/a.nii.gz", "holds no")],
)
def test_a_set_that_lacks_something_is_refused(shifted: ShiftedSet, tmp_path: Path, missing: str, message: str) -> None:
    path = tmp_path / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"file_ending": ".png"}, "holds no image called CASE_0000.png; the model was trained on .png files"),
        ({"channel_names": {"0": "x", "1": "y"}}, "a_0001.nii.gz is missing: the model wants 2 channels"),
    ],
)
def test_images_that_the_model_cannot_predict_are_refused(
    shifted: ShiftedSet, tmp_path: Path, model: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, **model)


def test_a_label_without_its_image_is_refused_and_an_image_without_a_label_is_not(
    shifted: ShiftedSet, tmp_path: Path
) -> None:
    write(tmp_path / "images", "b_0000", *[[7] * 6] * 4)
    assert read(tmp_path).files == {"a": (tmp_path / "images" / "a_0000.nii.gz",)}
    (tmp_path / "images" / "a_0000.nii.gz").unlink()
    with pytest.raises(UserError, match=r"has no image of 1 of the 1 cases .* \(first: a_0000\.nii\.gz\)"):
        read(tmp_path)


def test_a_name_that_is_no_folder_is_refused(shifted: ShiftedSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="are possible in the name"):
        read(tmp_path, "../up")


def test_integers_without_a_name_become_background() -> None:
    label = np.array([[[-1, 0, 1, 2, 3]]], dtype=np.int16)
    assert translated_labels(label, {1: 2, 2: 1, 9: 4}).tolist() == [[[0, 0, 2, 1, 0]]]
