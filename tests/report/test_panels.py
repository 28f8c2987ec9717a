"""Small pictures of a slice."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from autodiffseg.report.panels import LONGEST_PX, heat_panel, outline_panel


def opened(uri: str) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


def test_a_picture_has_the_true_proportions_and_a_bounded_size() -> None:
    uri = outline_panel(np.zeros((100, 400)), {}, [(1,)], pixel_mm=(2.0, 1.0), lower=False, window=(0, 1))
    assert opened(uri).shape == (LONGEST_PX // 2, LONGEST_PX, 3)


def test_rows_run_down_or_up_and_the_window_sets_black_and_white() -> None:
    image = np.array([[0.0, 0.0], [1.0, 1.0]])
    for lower in (False, True):
        picture = opened(outline_panel(image, {}, [], pixel_mm=(1, 1), lower=lower, window=(0, 1)))
        assert (picture[5].mean() > picture[-5].mean()) == lower
        assert {int(picture.min()), int(picture.max())} == {0, 255}


def test_a_prediction_is_drawn_over_the_reference_in_the_colour_of_its_class() -> None:
    label = np.zeros((20, 20), dtype=np.uint8)
    label[5:15, 5:15] = 1
    shown = {"pixel_mm": (1.0, 1.0), "lower": False, "window": (0.0, 1.0)}
    both = opened(outline_panel(np.zeros((20, 20)), {False: label, True: label}, [(1,)], **shown))  # type: ignore[arg-type]
    colours = {tuple(map(int, colour)) for colour in both.reshape(-1, 3)}
    assert (0xE6, 0x9F, 0x00) in colours  # bright: the prediction
    assert any(abs(red - 0xE6 * 0.55) < 2 and abs(green - 0x9F * 0.55) < 2 for red, green, _ in colours)


def test_a_map_is_brightest_at_its_highest_value() -> None:
    picture = opened(heat_panel(np.array([[0.0, 1.0]]), 1.0, pixel_mm=(1, 1), lower=False)).astype(int)
    assert picture[:, -5].sum() > picture[:, 5].sum()
