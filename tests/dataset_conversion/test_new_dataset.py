"""Tests of where converters write."""

import json
from pathlib import Path

import pytest

from autodiffseg.dataset_conversion.new_dataset import dataset_folder, new_dataset
from autodiffseg.errors import UserError


def test_the_folder_is_named_by_number_and_name() -> None:
    assert dataset_folder(Path("raw"), 4, "Hippocampus") == Path("raw/Dataset004_Hippocampus")
    assert dataset_folder(Path("raw/Dataset007_Mine"), 4, "Hippocampus") == Path("raw/Dataset007_Mine")


@pytest.mark.parametrize(("number", "name"), [(1000, "X"), (1, "a/b"), (1, "")])
def test_names_that_cannot_name_a_dataset_are_refused(number: int, name: str) -> None:
    with pytest.raises(UserError, match="cannot name a dataset"):
        dataset_folder(Path("raw"), number, name)


def test_the_dataset_appears_with_its_json(tmp_path: Path) -> None:
    with new_dataset(tmp_path / "raw" / "D", {"a": 1}) as building:
        (building / "x").touch()
    assert json.loads((tmp_path / "raw" / "D" / "dataset.json").read_text()) == {"a": 1}
    assert (tmp_path / "raw" / "D" / "x").exists()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    def fill() -> None:
        with new_dataset(tmp_path / "D", {}):
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []
