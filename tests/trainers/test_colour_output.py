"""Coloured pictures beside label maps that are pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import io

from autodiffseg.geometry import Geometry
from autodiffseg.images import read_image, read_label, write_image
from autodiffseg.labels import LabelSpec
from autodiffseg.trainers.colour_output import ColourOutput, colour_outputs

SPEC = LabelSpec(labels={"background": 0, "a": 1, "b": 7, "ignore": 9})
LABEL = np.random.default_rng(0).choice([0, 1, 7], size=(1, 12, 15)).astype(np.uint8)
GRID = Geometry(shape=LABEL.shape, spacing=(1, 1, 1), origin=(0, 0), direction=(1, 0, 0, 1))


def test_each_class_has_a_colour_of_its_own_and_the_background_is_black(tmp_path: Path) -> None:
    output = ColourOutput(tmp_path, SPEC)
    output.begin("a").write([], LABEL)
    (name,) = output.names("a")
    colours = read_image(tmp_path / name)[0][:, 0]  # (3, Y, X)
    for value, colour in ((0, (0, 0, 0)), (1, (0xE6, 0x9F, 0x00)), (7, (0x56, 0xB4, 0xE9))):
        assert {tuple(map(int, pixel)) for pixel in colours[:, LABEL[0] == value].T} == {colour}


def test_many_classes_have_different_colours(tmp_path: Path) -> None:
    output = ColourOutput(tmp_path, LabelSpec(labels={f"c{number}": number for number in range(40)}))
    label = np.arange(40, dtype=np.uint8).reshape(1, 5, 8)
    output.begin("a").write([], label)
    pixels = read_image(tmp_path / "colours" / "a.png")[0].reshape(3, -1).T
    assert len({tuple(pixel) for pixel in pixels.tolist()}) == 40


@pytest.mark.parametrize("ending", [".png", ".bmp"])
def test_the_label_map_itself_gives_class_numbers_to_every_reader(ending: str, tmp_path: Path) -> None:
    assert colour_outputs(tmp_path, ending, SPEC) == (ColourOutput(tmp_path, SPEC),)
    path = tmp_path / f"a{ending}"
    write_image(path, LABEL, GRID)
    np.testing.assert_array_equal(read_label(path)[0], LABEL)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(np.asarray(opened.convert("L")), LABEL[0])
    np.testing.assert_array_equal(io.imread(path).reshape(12, 15, -1)[..., 0], LABEL[0])  # as nnU-Net does


@pytest.mark.parametrize("ending", [".tif", ".nii.gz", ".mha"])
def test_what_may_be_a_volume_has_no_picture(ending: str, tmp_path: Path) -> None:
    assert colour_outputs(tmp_path, ending, SPEC) == ()
