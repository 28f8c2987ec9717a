"""Tests of writing that happens whole or not at all."""

import json
from pathlib import Path

import pytest

from autodiffseg.atomic import atomic_folder, atomic_path, write_json, write_text


def fail_on_purpose() -> None:
    raise ZeroDivisionError


def write_half_a_file(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        fail_on_purpose()


def fill_half_a_folder(path: Path) -> None:
    with atomic_folder(path) as temporary:
        (temporary / "x").touch()
        fail_on_purpose()


def test_nothing_is_at_the_path_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.nii.gz"
    with atomic_path(path) as temporary:
        assert temporary.name.endswith(".nii.gz")
        assert temporary.parent == path.parent
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError):
        write_half_a_file(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_written_with_a_last_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [1]})
    assert (tmp_path / "x.json").read_text().endswith("}\n")
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [1]}


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "set"
    with atomic_folder(folder) as temporary:
        (temporary / "x").touch()
        assert not folder.exists()
    assert [path.name for path in folder.iterdir()] == ["x"]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fill_half_a_folder(tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_never_overwritten_unless_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with atomic_folder(tmp_path / "set") as temporary:
        (temporary / "x").touch()
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "set"):
        raise AssertionError("the block must not run")
    assert (tmp_path / "set" / "x").exists()
