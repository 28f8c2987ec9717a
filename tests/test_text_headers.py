"""Tests of what is looked up in MHA and NRRD files behind the reader's back."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.text_headers import lacks_spacing, require_undamaged

GRID = Geometry(shape=(3, 4, 5), spacing=(2, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
LINES = {".mha": b"ElementSpacing = 1 1 2\n", ".nrrd": b"space directions: (1,0,0) (0,1,0) (0,0,2)\n"}


@pytest.mark.parametrize("ending", LINES)
def test_a_file_without_the_line_lacks_the_spacing(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    write_image(path, np.zeros(GRID.shape, np.int16), GRID)
    assert not lacks_spacing(path)
    data = path.read_bytes()
    assert LINES[ending] in data
    path.write_bytes(data.replace(LINES[ending], b""))
    assert lacks_spacing(path)


def test_the_other_words_for_it_count_too(tmp_path: Path) -> None:
    (tmp_path / "x.mha").write_text("NDims = 3\nElementSize = 1 1 2\n")
    (tmp_path / "x.nrrd").write_text("NRRD0004\nspacings: 1 1 2\n\n")
    assert not lacks_spacing(tmp_path / "x.mha")
    assert not lacks_spacing(tmp_path / "x.nrrd")


@pytest.mark.parametrize("ending", LINES)
def test_damage_in_compressed_voxels_is_found(tmp_path: Path, ending: str) -> None:
    path, noise = tmp_path / f"x{ending}", np.random.default_rng(0).integers(0, 999, GRID.shape).astype(np.int16)
    write_image(path, noise, GRID)
    require_undamaged(path)
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-3])
    with pytest.raises((EOFError, zlib.error)):
        require_undamaged(path)
    data[-30] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises((EOFError, zlib.error)):
        require_undamaged(path)


@pytest.mark.parametrize("ending", LINES)
def test_voxels_that_are_not_compressed_have_no_checksum(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    image = sitk.GetImageFromArray(np.zeros(GRID.shape, np.int16))
    sitk.WriteImage(image, str(path), useCompression=False)
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)
    require_undamaged(path)


def test_formats_with_a_spacing_of_their_own_kind_lack_none(tmp_path: Path) -> None:
    (tmp_path / "x.png").touch()
    assert not lacks_spacing(tmp_path / "x.png")
