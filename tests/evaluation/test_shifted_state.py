"""Tests of what is taken for a trained fold's predictions and scores of a shifted set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.dataset import DatasetJson
from autodiffseg.evaluation.shifted_set import ShiftedSet, read_shifted_set, score_shifted
from autodiffseg.evaluation.shifted_state import ShiftedState, shifted_state
from autodiffseg.evaluation.summary import write_summary
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.runs import RunRecord

ENDING = ".nii.gz"
DECLARED: dict[str, Any] = {
    "channel_names": {"0": "x"}, "labels": {"background": 0, "lung": 1}, "file_ending": ENDING,
}  # fmt: skip
GRID = Geometry(shape=(1, 2, 3), spacing=(1, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
RECORD = RunRecord(
    dataset="D", trainer="supervised", plan="cpu", configuration="2d", tag="", fold="0", seed=0, options={},
    plan_hash="", iterations=1, iterations_done=1, finished=True,
)  # fmt: skip


def write(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full((1, 2, 3), value, dtype=np.uint8), GRID)


def make(folder: Path, brightness: int) -> Path:
    """A set of two cases, all lung, whose images are as bright as told."""
    for case in ("a", "b"):
        write(folder / "images" / f"{case}_0000{ENDING}", brightness)
        write(folder / "labels" / f"{case}{ENDING}", 1)
    (folder / "dataset.json").write_text(json.dumps(DECLARED))
    return folder


def read(folder: Path) -> ShiftedSet:
    model = DatasetJson.model_validate(DECLARED)
    return read_shifted_set(folder / "images", folder / "labels", "Other", model=model)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return make(tmp_path / "first", 5)


@pytest.fixture
def model(first: Path, tmp_path: Path) -> Path:
    """A run of one fold that has predicted the first set, as `predict` leaves it."""
    fold = tmp_path / "model" / "fold_0"
    fold.mkdir(parents=True)
    (fold / "checkpoint_last.pt").write_bytes(b"weights")
    folder = fold / "shifted" / "Other"
    for case in ("a", "b"):
        write(folder / f"{case}{ENDING}", 1)
    used = {"models": [{"checkpoints": {"0": checkpoint_id(fold / "checkpoint_last.pt")}}]}
    (folder / "predict.json").write_text(json.dumps({**used, "images": read(first).image_hashes}))
    return fold.parent


def state(folder: Path, model: Path) -> ShiftedState:
    return shifted_state(read(folder), model, RECORD, ending=ENDING)


def score(folder: Path, model: Path) -> None:
    shifted = read(folder)
    predictions = shifted.predictions(model / "fold_0")
    summary = score_shifted(shifted, predictions, shifted.declared.spec, ending=ENDING, metrics=("Dice",))
    write_summary(summary, predictions, updates=1, references=shifted.reference_hash)


def test_predictions_of_another_set_of_the_same_name_and_cases_are_stale(
    first: Path, model: Path, tmp_path: Path
) -> None:
    assert state(first, model) is ShiftedState.PREDICTED
    second = make(tmp_path / "second", 6)
    assert state(second, model) is ShiftedState.STALE
    (model / "fold_0" / "shifted" / "Other" / f"a{ENDING}").unlink()
    assert state(first, model) is ShiftedState.PART
    assert state(second, model) is ShiftedState.STALE  # it must not go on beside the other's


def test_a_set_that_has_moved_is_the_same(first: Path, model: Path, tmp_path: Path) -> None:
    score(first, model)
    assert state(shutil.move(first, tmp_path / "moved"), model) is ShiftedState.SCORED


def test_predictions_of_unknown_images_are_stale(first: Path, model: Path) -> None:
    path = model / "fold_0" / "shifted" / "Other" / "predict.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({"models": told["models"]}))  # as earlier versions wrote it
    assert state(first, model) is ShiftedState.STALE


def test_a_case_that_is_new_is_predicted_beside_the_others(first: Path, model: Path) -> None:
    write(first / "images" / f"c_0000{ENDING}", 5)
    write(first / "labels" / f"c{ENDING}", 1)
    assert state(first, model) is ShiftedState.PART


def test_other_weights_make_predictions_stale(first: Path, model: Path) -> None:
    (model / "fold_0" / "checkpoint_last.pt").write_bytes(b"trained on since")
    assert state(first, model) is ShiftedState.STALE


def test_scores_are_stale_when_a_label_map_or_its_meaning_has_changed(first: Path, model: Path) -> None:
    score(first, model)
    assert state(first, model) is ShiftedState.SCORED
    write(first / "labels" / f"a{ENDING}", 0)
    assert state(first, model) is ShiftedState.PREDICTED
    score(first, model)
    (first / "dataset.json").write_text(json.dumps({**DECLARED, "labels": {**DECLARED["labels"], "ignore": 2}}))
    assert state(first, model) is ShiftedState.PREDICTED  # the classes are the same, what counts is not
    score(first, model)
    (first / "dataset.json").write_text(
        json.dumps({**DECLARED, "labels": {**DECLARED["labels"], "ignore": 2}, "numTraining": 2})
    )
    assert state(first, model) is ShiftedState.SCORED
