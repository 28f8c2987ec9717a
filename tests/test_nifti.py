"""Tests of what is looked up in NIfTI files behind the reader's back."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.nifti import count_nonfinite, is_whole, written_spacing

SHAPE = (3, 4, 5)
GEOMETRY = Geometry(
    shape=SHAPE, spacing=(2.5, 0.75, 1.25), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)
)  # fmt: skip


def save(path: Path, array: np.ndarray) -> Path:
    write_image(path, array, GEOMETRY)
    return path


def nifti2(voxels: np.ndarray) -> bytes:
    """A big-endian NIfTI-2 file, written by hand from the standard."""
    head = bytearray(544)
    struct.pack_into(">i", head, 0, 540)
    struct.pack_into(">2h", head, 12, 64, 64)  # float64
    struct.pack_into(">8q", head, 16, 3, 5, 4, 3, 1, 1, 1, 1)
    struct.pack_into(">8d", head, 104, 1, 1.25, 0.75, 2.5, 0, 0, 0, 0)
    struct.pack_into(">q", head, 168, 544)
    return bytes(head) + voxels.astype(">f8").tobytes()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nonfinite_voxels_are_counted(tmp_path: Path, ending: str, dtype: type) -> None:
    array = np.ones(SHAPE, dtype)
    path = save(tmp_path / f"x{ending}", array)
    assert count_nonfinite(path) == 0
    array[0, 0, :2] = np.nan, -np.inf
    array[2, 3, 4] = np.inf
    assert count_nonfinite(save(path, array)) == 3


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_wrong_checksum_is_damage_whatever_the_voxels(tmp_path: Path, dtype: type) -> None:
    path = save(tmp_path / "x.nii.gz", np.ones(SHAPE, dtype))
    assert count_nonfinite(path) == 0
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        count_nonfinite(path)


def test_bytes_after_the_voxels_do_not_count(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", np.ones(SHAPE, np.float32))
    path.write_bytes(path.read_bytes() + np.full(9, np.nan, np.float32).tobytes())
    assert count_nonfinite(path) == 0
    assert is_whole(path)


def test_integers_and_other_formats_have_none(tmp_path: Path) -> None:
    assert count_nonfinite(save(tmp_path / "x.nii.gz", np.ones(SHAPE, np.int16))) == 0
    assert count_nonfinite(save(tmp_path / "x.mha", np.full(SHAPE, np.nan))) == 0


def test_the_spacing_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", np.ones(SHAPE, np.uint8))
    assert written_spacing(path) == (1.25, 0.75, 2.5)
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, 80, 0.0)
    path.write_bytes(data)
    assert written_spacing(path) == (0.0, 0.75, 2.5)
    assert written_spacing(save(tmp_path / "x.nrrd", np.ones(SHAPE, np.uint8))) is None


@pytest.mark.parametrize(("ending", "lost"), [(".nii", 1), (".nii", 300), (".nii.gz", 20), (".nii.gz", 300)])
def test_a_file_is_whole_until_voxels_are_lost(tmp_path: Path, ending: str, lost: int) -> None:
    noise = np.random.default_rng(0).standard_normal(SHAPE)
    path = save(tmp_path / f"x{ending}", noise)
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:-lost])
    assert not is_whole(path)


def test_an_archive_of_several_members_is_whole(tmp_path: Path) -> None:
    # bgzip and `cat a.gz b.gz` make such files; only the last member's size stands at the end.
    plain = save(tmp_path / "x.nii", np.ones(SHAPE, np.uint8)).read_bytes()
    path = tmp_path / "y.nii.gz"
    path.write_bytes(gzip.compress(plain[:370]) + gzip.compress(plain[370:]))
    assert is_whole(path)
    path.write_bytes(gzip.compress(plain[:370]) + gzip.compress(plain[370:-1]))
    assert not is_whole(path)


def test_nifti_2_and_big_endian_files_are_understood(tmp_path: Path) -> None:
    voxels = np.ones(SHAPE)
    voxels[1, 1, 1] = np.nan
    path = tmp_path / "x.nii"
    path.write_bytes(nifti2(voxels))
    assert written_spacing(path) == (1.25, 0.75, 2.5)
    assert count_nonfinite(path) == 1
    assert is_whole(path)
    path.write_bytes(nifti2(voxels)[:-1])
    assert not is_whole(path)


def test_what_is_no_nifti_file_is_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "x.nii").write_text("no image" * 100)
    assert is_whole(tmp_path / "x.nii")
    assert written_spacing(tmp_path / "x.nii") is None
    (tmp_path / "empty.nii.gz").touch()
    assert is_whole(tmp_path / "empty.nii.gz")
    (tmp_path / "x.png").touch()
    assert is_whole(tmp_path / "x.png")
