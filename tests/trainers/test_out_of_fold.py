"""No case is shown the segmentation of a fold that trained on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import CaseScores, Summary, class_keys, write_summary
from autodiffseg.folds import Fold, load_folds, make_folds, save_folds
from autodiffseg.geometry import Geometry
from autodiffseg.images import read_label, write_image
from autodiffseg.labels import LabelSpec
from autodiffseg.runs import RunRecord
from autodiffseg.trainers.checkpoints import LAST
from autodiffseg.trainers.out_of_fold import PreviousRun, find_previous_run, segmentation_files
from autodiffseg.workspace import Workspace

DATASET, RUN = "Dataset001_Toy", "supervised__cpu__3d_lowres"
CASES = [f"case_{number}" for number in range(11)]
SPEC = LabelSpec(labels={"background": 0, "organ": 1})
GRID = Geometry(shape=(2, 2, 2), spacing=(1, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
ENDING = ".nii.gz"


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def fake_training(place: Workspace, folds: list[Fold]) -> None:
    """Every fold predicts, for every case of the dataset, a label map full of its number + 1."""
    save_folds(place.splits_path(DATASET), folds)
    for number, fold in enumerate(folds):
        folder = place.results(DATASET) / RUN / f"fold_{number}"
        record = RunRecord(
            dataset=DATASET,
            trainer="supervised",
            plan="cpu",
            configuration="3d_lowres",
            tag="",
            fold=str(number),
            seed=0,
            options={},
            plan_hash="",
            training_cases=fold.train,
            validation_cases=fold.val,
            iterations=4,
            iterations_done=4,
            finished=True,
        )
        record.save(folder / "run.json")
        (folder / LAST).write_bytes(bytes([number]))
        for case in CASES:
            write_image(folder / "validation" / f"{case}{ENDING}", np.full((2, 2, 2), number + 1, np.uint8), GRID)
        scores = tuple(CaseScores(case, {"1": {"Dice": 1.0, "n_pred": 1, "n_ref": 1}}, "", "") for case in fold.val)
        notes = {"checkpoint": "last", "updates": 4}
        write_summary(Summary(class_keys(SPEC), scores), folder / "validation", **notes)


def find(place: Workspace, spec: LabelSpec = SPEC) -> PreviousRun:
    return find_previous_run(place, DATASET, RUN, "3d_lowres", spec, ENDING)


def fold_shown(path: Path) -> int:
    return int(read_label(path)[0].max()) - 1


def test_no_case_is_shown_the_segmentation_of_a_fold_that_trained_on_it(place: Workspace) -> None:
    folds = make_folds(CASES)
    fake_training(place, folds)
    files = segmentation_files(find(place), CASES, ENDING)
    assert set(files) == set(CASES)
    for case, path in files.items():
        assert case not in folds[fold_shown(path)].train


def test_a_fold_that_validates_on_what_it_trained_on_is_passed_over(place: Workspace) -> None:
    # The records decide, not the order of the folds: fold 0 holds case_0 on both sides.
    fake_training(place, [Fold(train=("case_0", "case_1"), val=("case_0",)), Fold(train=("case_1",), val=("case_0",))])
    assert fold_shown(segmentation_files(find(place), ["case_0"], ENDING)["case_0"]) == 1
    with pytest.raises(UserError, match="no fold validated case_1 without training on it"):
        segmentation_files(find(place), ["case_0", "case_1"], ENDING)


def test_a_dataset_of_one_group_cannot_have_a_cascade(place: Workspace) -> None:
    fake_training(place, make_folds(CASES, ["g"] * len(CASES)))
    with pytest.raises(UserError, match="one case or group"):
        segmentation_files(find(place), CASES, ENDING)


def test_a_split_changed_since_is_judged_by_the_cases_of_the_trainings(place: Workspace) -> None:
    before = make_folds(CASES)
    fake_training(place, before)
    save_folds(place.splits_path(DATASET), list(reversed(load_folds(place.splits_path(DATASET)))))
    for case, path in segmentation_files(find(place), CASES, ENDING).items():
        assert case not in before[fold_shown(path)].train
    with pytest.raises(UserError, match="case_99"):
        segmentation_files(find(place), [*CASES, "case_99"], ENDING)


def test_a_fold_of_the_split_that_nobody_trained_is_missing(place: Workspace) -> None:
    assert not (place.results(DATASET) / RUN).exists()
    save_folds(place.splits_path(DATASET), make_folds(CASES))
    assert [fold.lacks for fold in find(place).missing] == ["not trained"] * 5
    fake_training(place, make_folds(CASES))
    assert find(place).missing == ()
    (place.results(DATASET) / RUN / "fold_3" / LAST).unlink()
    assert [(fold.fold, fold.record) for fold in find(place).missing] == [("3", None)]


def test_a_label_map_that_was_not_scored_is_not_of_the_last_validation(place: Workspace) -> None:
    fake_training(place, make_folds(CASES))
    path = place.results(DATASET) / RUN / "fold_2" / "validation" / "summary.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "metric_per_case": content["metric_per_case"][1:]}))
    assert [(fold.fold, fold.lacks) for fold in find(place).missing] == [("2", "not validated on all its cases")]


def test_the_weights_of_every_fold_are_told(place: Workspace) -> None:
    fake_training(place, make_folds(CASES))
    told = find(place).checkpoints()
    assert list(told) == ["0", "1", "2", "3", "4"]
    assert len(set(told.values())) == 5
    assert told["2"] == checkpoint_id(place.results(DATASET) / RUN / "fold_2" / LAST)


def test_folds_trained_for_other_labels_are_refused(place: Workspace) -> None:
    fake_training(place, make_folds(CASES))
    other = LabelSpec(labels={"background": 0, "organ": 1, "tumour": 2})
    with pytest.raises(UserError, match=r"fold_0 was trained for other labels \(organ\)"):
        find(place, other)
