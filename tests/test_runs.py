"""Tests of where trainings lie."""

from pathlib import Path

import pytest

from autodiffseg.errors import UserError
from autodiffseg.runs import RECORD, RunRecord, dataset_runs, finished_folds, fold_folder, fold_records, run_name
from autodiffseg.workspace import Workspace


def add_fold(run: Path, fold: str, *, finished: bool = True) -> RunRecord:
    record = RunRecord(
        dataset="D", trainer="t", plan="p", configuration="2d", tag="", fold=fold, seed=0, options={}, plan_hash="h",
        iterations=3, finished=finished,
    )  # fmt: skip
    record.save(fold_folder(run, fold) / RECORD)
    return record


def test_names_are_joined_and_own_trainers_go_by_their_class() -> None:
    assert run_name("supervised", "cpu", "3d_fullres") == "supervised__cpu__3d_fullres"
    assert run_name("my.pack:Mine", "cpu", "2d", "try") == "Mine__cpu__2d__try"


def test_records_come_by_fold_with_all_last(tmp_path: Path) -> None:
    for fold in ("all", "10", "2", "0"):
        add_fold(tmp_path, fold)
    (tmp_path / "fold_3").mkdir()
    assert list(fold_records(tmp_path)) == ["0", "2", "10", "all"]


def test_a_record_round_trips(tmp_path: Path) -> None:
    assert fold_records(tmp_path) == {}
    record = add_fold(tmp_path, "1")
    assert fold_records(tmp_path) == {"1": record}


def test_only_finished_folds_are_listed(tmp_path: Path) -> None:
    add_fold(tmp_path, "0", finished=False)
    with pytest.raises(UserError, match="no fold has finished"):
        finished_folds(tmp_path)
    add_fold(tmp_path, "1")
    assert finished_folds(tmp_path) == ("1",)


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_folder_without_runs_is_no_model(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is no model folder"):
        finished_folds(tmp_path / name)


def test_runs_of_a_dataset_are_sorted_and_other_things_passed_over(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert dataset_runs(workspace, "D") == []
    results = workspace.results("D")
    add_fold(results / "b", "0")
    add_fold(results / "a", "0")
    (results / "notes.txt").touch()
    (results / "empty").mkdir()
    assert dataset_runs(workspace, "D") == [results / "a", results / "b"]
