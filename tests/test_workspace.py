"""Tests of finding things in the workspace."""

import json
from pathlib import Path

import pytest

from autodiffseg.errors import UserError
from autodiffseg.workspace import Workspace

JSON = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_raw", raising=False)
    monkeypatch.delenv("AUTODIFFSEG_WORKSPACE", raising=False)


def add_raw(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps(JSON))
    return folder


@pytest.mark.parametrize("name", ["Dataset004_Hippocampus", "Hippocampus", "004", "4"])
def test_a_dataset_is_found_by_name_and_number(tmp_path: Path, name: str) -> None:
    folder = add_raw(tmp_path / "raw", "Dataset004_Hippocampus")
    add_raw(tmp_path / "raw", "Dataset040_Other")
    assert Workspace(tmp_path).raw_dataset(name).folder == folder


def test_a_path_comes_first(tmp_path: Path) -> None:
    folder = add_raw(tmp_path / "far", "my_scans")
    assert Workspace(tmp_path).raw_dataset(str(folder)).name == "my_scans"


def test_nnunet_raw_is_searched_after_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "nnunet"))
    theirs = add_raw(tmp_path / "nnunet", "Dataset004_Toy")
    assert Workspace(tmp_path).raw_dataset("4").folder == theirs
    ours = add_raw(tmp_path / "raw", "Dataset004_Toy")
    assert Workspace(tmp_path).raw_dataset("4").folder == ours


def test_an_unknown_dataset_tells_where_was_searched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No dataset '7'") as error:
        Workspace(tmp_path).raw_dataset("7")
    assert str(tmp_path / "raw") in str(error.value)


def test_two_datasets_of_one_number_are_refused(tmp_path: Path) -> None:
    add_raw(tmp_path / "raw", "Dataset004_A")
    add_raw(tmp_path / "raw", "Dataset004_B")
    with pytest.raises(UserError, match="may mean Dataset004_A, Dataset004_B"):
        Workspace(tmp_path).raw_dataset("4")
    assert Workspace(tmp_path).raw_dataset("A").name == "Dataset004_A"


def test_a_planned_dataset_needs_no_raw_folder(tmp_path: Path) -> None:
    (tmp_path / "preprocessed" / "Dataset004_Toy").mkdir(parents=True)
    assert Workspace(tmp_path).planned_dataset("4") == "Dataset004_Toy"
    assert Workspace(tmp_path).planned_dataset("Toy") == "Dataset004_Toy"


def test_a_planned_dataset_is_found_by_the_path_of_its_raw_folder(tmp_path: Path) -> None:
    folder = add_raw(tmp_path / "far", "Dataset004_Toy")
    (tmp_path / "preprocessed" / "Dataset004_Toy").mkdir(parents=True)
    assert Workspace(tmp_path).planned_dataset(str(folder)) == "Dataset004_Toy"


def test_a_dataset_that_is_not_planned_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="autodiffseg plan-and-preprocess Toy"):
        Workspace(tmp_path).planned_dataset("Toy")


def test_a_missing_plan_lists_those_that_exist(tmp_path: Path) -> None:
    plans = tmp_path / "preprocessed" / "D" / "plans"
    plans.mkdir(parents=True)
    (plans / "cpu.json").touch()
    with pytest.raises(UserError, match="it has: cpu"):
        Workspace(tmp_path).plan("D", "default")


def test_the_root_comes_from_argument_environment_or_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Workspace().root == Path("autodiffseg_workspace")
    monkeypatch.setenv("AUTODIFFSEG_WORKSPACE", "elsewhere")
    assert Workspace().root == Path("elsewhere")
    assert Workspace(tmp_path).root == tmp_path
