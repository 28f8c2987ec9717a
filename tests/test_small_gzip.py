"""Small compressed NIfTI files: read by a detour, with the same result."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autodiffseg import small_gzip
from autodiffseg.errors import UserError
from autodiffseg.images import read_image
from autodiffseg.small_gzip import read_small_gzip


def write(path: Path, kind: str = "i2", shape: tuple[int, ...] = (3, 4, 5)) -> Path:
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 99, shape).astype(kind))
    image.SetSpacing((0.7, 1.3, 2.5)[: len(shape)])
    image.SetOrigin((-3, 8, 11)[: len(shape)])
    if len(shape) == 3:
        image.SetDirection((0, 0, 1, -1, 0, 0, 0, -1, 0))
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize(("kind", "shape"), [("u1", (3, 4, 5)), ("i2", (3, 4, 5)), ("f4", (3, 4, 5)), ("f8", (4, 5))])
def test_it_is_what_simpleitk_reads(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    path = write(tmp_path / "a.nii.gz", kind, shape)
    ours, theirs = read_small_gzip(path), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))
    assert sitk.GetArrayFromImage(ours).dtype == sitk.GetArrayFromImage(theirs).dtype
    for part in ("GetSpacing", "GetOrigin", "GetDirection", "GetSize"):
        assert getattr(ours, part)() == getattr(theirs, part)()


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    assert read_small_gzip(write(tmp_path / "a.nii.gz")) is not None
    assert list((tmp_path / "t").iterdir()) == []


def test_other_and_large_files_take_the_usual_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_small_gzip(write(tmp_path / "a.nii")) is None
    monkeypatch.setattr(small_gzip, "SMALL_BYTES", 10)
    assert read_small_gzip(write(tmp_path / "a.nii.gz")) is None


def test_without_room_for_temporary_files_it_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.nii.gz")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert read_small_gzip(path) is None
    assert read_image(path)[0].shape == (1, 3, 4, 5)


def test_a_damaged_file_is_refused_by_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"no archive")
    assert read_small_gzip(path) is None
    with pytest.raises(UserError, match=r"a\.nii\.gz cannot be read"):
        read_image(path)


def test_a_file_that_was_cut_off_before_it_was_packed_is_left_to_the_check(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    assert read_small_gzip(path) is None
    with pytest.raises(UserError, match=r"a\.nii\.gz cannot be read as an image: it is cut off or damaged"):
        read_image(path)


def test_it_goes_through_memory_only_where_there_is_plenty_of_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(small_gzip, "MEMORY_FOLDER", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.delenv("TMPDIR", raising=False)
    assert small_gzip._folder_in_memory(1000) == str(tmp_path)
    assert small_gzip._folder_in_memory(10**18) is None
    monkeypatch.setattr(small_gzip, "MEMORY_FOLDER", str(tmp_path / "missing"))
    assert small_gzip._folder_in_memory(1000) is None
