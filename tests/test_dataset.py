"""Tests of reading the raw layout."""

import json
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.dataset import DatasetJson, RawDataset, group_case_files, unnumbered_files
from autodiffseg.errors import UserError

BASIC = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}


def make_dataset(folder: Path, files: tuple[str, ...] = (), **keys: Any) -> RawDataset:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(BASIC | keys))
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return RawDataset(folder)


def test_cases_are_those_with_an_image_or_a_label(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ("imagesTr/b_0000.nii.gz", "imagesTr/a_0000.nii.gz", "labelsTr/c.nii.gz"))
    assert dataset.cases == ("a", "b", "c")
    assert dataset.images("c") == ()


def test_channel_files_come_in_channel_order(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ("imagesTr/a_0001.nii.gz", "imagesTr/a_0000.nii.gz", "imagesTr/a_x_0000.nii.gz"))
    assert [path.name for path in dataset.images("a")] == ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert dataset.label("a") == tmp_path / "labelsTr" / "a.nii.gz"


def test_hidden_files_and_other_endings_are_no_cases(tmp_path: Path) -> None:
    dataset = make_dataset(
        tmp_path, ("imagesTr/._a_0000.nii.gz", "labelsTr/._a.nii.gz", "labelsTr/a.nii", "imagesTr/a_0000.png")
    )
    assert dataset.cases == ()
    assert dataset.strangers == ()


def test_files_without_channel_number_are_strangers(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ("imagesTr/a.nii.gz", "imagesTr/b_00.nii.gz", "imagesTr/c_0000.nii.gz"))
    assert dataset.strangers == ("a.nii.gz", "b_00.nii.gz")
    assert dataset.cases == ("c",)


def test_the_dataset_key_names_files_instead_of_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "far"))
    files = {"x": {"images": ["pics/x.nii.gz", "$ELSEWHERE/x2.nii.gz"], "label": "masks/x.nii.gz"}}
    dataset = make_dataset(tmp_path, ("imagesTr/a_0000.nii.gz",), dataset=files)
    assert dataset.cases == ("x",)
    assert dataset.images("x") == (tmp_path / "pics/x.nii.gz", tmp_path / "far/x2.nii.gz")
    assert dataset.label("x") == tmp_path / "masks/x.nii.gz"


def test_labels_may_be_written_as_strings_or_whole_floats() -> None:
    text = json.dumps(BASIC | {"labels": {"background": "0", "organ": 1.0, "all": ["1", 2.0]}})
    assert DatasetJson.parse(text, source="x").labels == {"background": 0, "organ": 1, "all": (1, 2)}


def test_broken_labels_are_refused_with_the_key() -> None:
    for wrong in ({"background": "zero"}, {"organ": 1.5}):
        with pytest.raises(UserError, match="labels"):
            DatasetJson.parse(json.dumps(BASIC | {"labels": wrong}), source="x")


def test_unknown_keys_are_kept() -> None:
    assert DatasetJson.parse(json.dumps(BASIC | {"licence": "CC0"}), source="x").model_extra == {"licence": "CC0"}


def test_channels_are_sorted_by_number_not_by_text() -> None:
    names = {str(number): f"c{number}" for number in (10, 2, 0)}
    assert DatasetJson.parse(json.dumps(BASIC | {"channel_names": names}), source="x").channels == ("c0", "c2", "c10")


@pytest.mark.parametrize("key", ["T1", "-1", "0.5", "", "²"])
def test_a_channel_key_that_is_no_number_is_refused(key: str) -> None:
    content = BASIC | {"channel_names": {"0": "T1", key: "T2"}}
    with pytest.raises(UserError, match=f"channel_names has the key '{key}'"):
        _ = DatasetJson.parse(json.dumps(content), source="x").channels


def test_a_missing_dataset_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.json does not exist"):
        RawDataset(tmp_path)


def test_every_case_is_its_own_group_by_default(tmp_path: Path) -> None:
    assert make_dataset(tmp_path).group("p1_a") == "p1_a"


def test_groups_come_from_the_table_or_the_expression(tmp_path: Path) -> None:
    assert make_dataset(tmp_path, groups={"a": "p1"}).group("a") == "p1"
    assert make_dataset(tmp_path, group_regex="^(p\\d+)_").group("p1_a") == "p1"


def test_a_case_without_group_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not name case 'b'"):
        make_dataset(tmp_path, groups={"a": "p1"}).group("b")
    with pytest.raises(UserError, match="finds no group in case id 'q'"):
        make_dataset(tmp_path, group_regex="^(p\\d+)_").group("q")
    with pytest.raises(UserError, match="one pair of brackets"):
        make_dataset(tmp_path, group_regex="^p").group("p")
    with pytest.raises(UserError, match="finds no group in case id 'p'"):
        make_dataset(tmp_path, group_regex="^p(\\d)?").group("p")


def test_a_broken_regular_expression_is_refused_on_reading(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="group_regex"):
        make_dataset(tmp_path, group_regex="(p")


def test_name_is_that_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(tmp_path / "Dataset004_Toy")
    monkeypatch.chdir(tmp_path / "Dataset004_Toy")
    assert RawDataset(Path(".")).name == "Dataset004_Toy"


def test_group_case_files_of_no_folder_is_empty(tmp_path: Path) -> None:
    assert group_case_files(tmp_path / "none", ".png") == {}
    assert unnumbered_files(tmp_path / "none", ".png") == ()
