"""An overlay shows the right slices and draws what is there, also when there is nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autodiffseg.label_colours import COLOURS
from autodiffseg.workflows.overlay import fullest_slice, save_overlay

BALL = np.add.outer(np.add.outer((np.arange(12) - 4) ** 2, (np.arange(16) - 9) ** 2), (np.arange(14) - 5) ** 2) <= 9


def picture(path: Path) -> np.ndarray:
    """`(Y, X, 3)` in 0..255."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[..., :3].astype(int)


def pixels_like(image: np.ndarray, colour: str) -> int:
    """How many pixels have nearly this colour."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((np.abs(image - wanted).max(axis=-1) < 12).sum())


def draw(path: Path, reference: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    image = np.random.default_rng(0).normal(size=reference.shape).astype(np.float32)
    outlines = {"reference": reference.astype(np.int16), "prediction": prediction.astype(np.int16)}
    save_overlay(path, image, outlines, classes={"ball": (1,), "cube": (2, 3)}, spacing_mm=(2.0, 1.0, 1.0), title="t")
    return picture(path)


@pytest.mark.parametrize(("axis", "wanted"), [(0, 4), (1, 9), (2, 5)])
def test_the_slice_with_most_foreground_is_shown(axis: int, wanted: int) -> None:
    assert fullest_slice(BALL, axis) == wanted


def test_without_foreground_the_middle_slice_is_shown() -> None:
    assert fullest_slice(np.zeros((7, 3, 3), dtype=bool), 0) == 3


def test_a_predicted_class_is_outlined_in_its_colour(tmp_path: Path) -> None:
    nothing = np.zeros_like(BALL)
    without = pixels_like(draw(tmp_path / "a.png", nothing, nothing), COLOURS[0])  # the legend alone
    assert pixels_like(draw(tmp_path / "b.png", nothing, BALL), COLOURS[0]) > without
    assert pixels_like(draw(tmp_path / "c.png", nothing, BALL * 2), COLOURS[0]) == without
    assert pixels_like(draw(tmp_path / "d.png", nothing, BALL * 3), COLOURS[1]) > without


def test_a_2d_image_is_one_plane(tmp_path: Path) -> None:
    wide = draw(tmp_path / "3d.png", BALL, BALL).shape
    narrow = draw(tmp_path / "2d.png", BALL[4:5], BALL[4:5]).shape
    assert narrow[0] == wide[0]
    assert narrow[1] * 3 == wide[1]


def test_a_class_that_fills_the_slice_is_no_error(tmp_path: Path) -> None:
    assert draw(tmp_path / "full.png", np.ones_like(BALL), np.ones_like(BALL)).size


def test_a_core_inside_a_shell_keeps_its_own_outline(tmp_path: Path) -> None:
    core = BALL & (np.abs(np.arange(14) - 5) <= 1)
    reference = np.where(core, 1, BALL * 2)
    drawn = draw(tmp_path / "nested.png", reference, np.zeros_like(BALL))
    dark = "#7e5700"  # 0.55 of the first colour: what the reference of the first class is drawn in
    assert pixels_like(drawn, dark) > pixels_like(draw(tmp_path / "shell.png", BALL * 2, BALL * 0), dark)
