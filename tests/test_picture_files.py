"""A JPEG or BMP file whose end is missing is known and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autodiffseg.errors import UserError
from autodiffseg.images import read_image
from autodiffseg.picture_files import is_whole_picture


@pytest.fixture
def picture(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A picture of noise with the ending that is asked for, grey or coloured, of a width that rows are padded to."""
    ending, colours = request.param
    shape = (20, 37, 3) if colours else (20, 37)
    path = tmp_path / f"picture.{ending}"
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=colours), str(path))
    return path


KINDS = [(ending, colours) for ending in ("jpg", "JPEG", "bmp") for colours in (False, True)]


@pytest.mark.parametrize("picture", KINDS, indirect=True)
@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_picture_without_its_end_is_refused_and_a_whole_one_is_read(picture: Path, share: float) -> None:
    content = picture.read_bytes()
    assert is_whole_picture(picture)
    assert read_image(picture)[0].shape[1:] == (1, 20, 37)
    picture.write_bytes(content + b"\0" * 50)  # some programs write more than needed
    assert is_whole_picture(picture)
    picture.write_bytes(content[: int(share * len(content))])
    assert not is_whole_picture(picture)
    with pytest.raises(UserError, match="cut off or damaged"):
        read_image(picture)


@pytest.mark.parametrize("picture", [("jpg", False)], indirect=True)
def test_the_end_of_a_preview_is_not_taken_for_that_of_the_image(picture: Path) -> None:
    content = picture.read_bytes()
    preview = content[:2] + b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content + content[2:]
    picture.write_bytes(preview)
    assert is_whole_picture(picture)
    picture.write_bytes(preview[:-40])
    assert not is_whole_picture(picture)


@pytest.mark.parametrize("content", [b"", b"BM", b"no picture at all"])
@pytest.mark.parametrize("ending", ["jpg", "bmp"])
def test_what_is_no_picture_is_left_to_the_reader(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    assert is_whole_picture(path)
    with pytest.raises(UserError, match="cannot be read as an image"):
        read_image(path)


def test_other_formats_are_not_looked_at(tmp_path: Path) -> None:
    assert is_whole_picture(tmp_path / "missing.png")
