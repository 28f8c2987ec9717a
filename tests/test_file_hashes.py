"""Hashes of files that are remembered."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from autodiffseg.errors import UserError
from autodiffseg.file_hashes import hash_cases, hash_files


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three files of different contents."""
    paths = [tmp_path / name for name in ("one", "two", "three")]
    for path in paths:
        path.write_text(path.name)
    return paths


def test_hashes_are_those_of_the_bytes_in_the_order_given(files: list[Path], tmp_path: Path) -> None:
    found = hash_files(files[::-1], tmp_path / "cache.json", threads=2)
    assert list(found) == files[::-1]
    assert found[files[0]] == hashlib.blake2b(b"one", digest_size=16).hexdigest()


def test_only_files_that_have_changed_are_read_again(files: list[Path], tmp_path: Path) -> None:
    read: list[Path] = []

    def digest(path: Path) -> str:
        read.append(path)
        return path.read_text()

    hash_files(files, tmp_path / "cache.json", threads=1, digest=digest)
    files[1].write_text("changed")
    os.utime(files[2], ns=(0, 7))
    assert hash_files(files, tmp_path / "cache.json", threads=1, digest=digest)[files[1]] == "changed"
    assert read == [*files, *files[1:]]


def test_a_relative_path_is_remembered_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "file").write_text(place[0])
        os.utime(tmp_path / place / "file", ns=(0, 7))
    found = []
    for place in ("here", "there"):
        monkeypatch.chdir(tmp_path / place)
        found += hash_files([Path("file")], tmp_path / "cache.json", threads=1).values()
    assert found[0] != found[1]


def test_a_damaged_cache_is_made_anew(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text("{")
    found = hash_files(files, tmp_path / "cache.json", threads=1)
    assert hash_files(files, tmp_path / "cache.json", threads=1, digest=lambda _: "not read") == found


def test_an_unreadable_file_is_refused_or_put_aside(files: list[Path], tmp_path: Path) -> None:
    gone, aside = tmp_path / "gone", dict[Path, str]()
    with pytest.raises(UserError, match="gone cannot be read: No such file"):
        hash_files([files[0], gone], tmp_path / "cache.json", threads=1)
    assert list(hash_files([gone, files[0]], tmp_path / "cache.json", threads=1, unreadable=aside)) == files[:1]
    assert list(aside) == [gone]


def test_a_case_is_known_by_the_bytes_of_its_files_in_their_order_alone(files: list[Path], tmp_path: Path) -> None:
    moved = files[0].rename(tmp_path / "moved")
    files[0].write_text("one")
    one, two, three = files
    cases = {"a": (one, two), "b": (moved, two), "c": (two, one), "d": (one,), "e": (three,)}
    found = hash_cases(cases, threads=2)
    assert list(found) == list(cases)
    assert found["a"] == found["b"]
    assert len(set(found.values())) == 4
    with pytest.raises(UserError, match="gone cannot be read: No such file"):
        hash_cases({"a": (tmp_path / "gone",)}, threads=1)
