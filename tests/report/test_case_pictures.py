"""Pictures of one case: colour images, grids that differ, and the order of the panels."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from autodiffseg.dataset import DatasetJson, RawDataset
from autodiffseg.errors import UserError
from autodiffseg.evaluation.comparison import Comparison, Entrant, compare
from autodiffseg.evaluation.metrics import find_metric
from autodiffseg.evaluation.summary import CaseScores
from autodiffseg.report.case_pictures import CasePictures, PictureSources

JSON = '{"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": {"background": 0, "one": 1}, "file_ending": ".png"}'


def colour_dataset(folder: Path, prediction: tuple[int, int] = (12, 16)) -> Comparison:
    """One red picture with a square of class 1, and an entrant that finds it."""
    image = np.zeros((12, 16, 3), dtype=np.uint8)
    image[..., 0] = 255
    label = np.zeros((12, 16), dtype=np.uint8)
    label[4:8, 4:8] = 1
    for place, array in (("imagesTr/a_0000", image), ("labelsTr/a", label), ("out/a", np.ones(prediction, np.uint8))):
        (folder / place).parent.mkdir(exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=array.ndim == 3), str(folder / f"{place}.png"))
    (folder / "dataset.json").write_text(JSON)
    scores = CaseScores("a", {"1": {"Dice": 0.5, "n_pred": 1, "n_ref": 1}}, str(folder / "out" / "a.png"), "")
    return compare([Entrant("x", {"a": scores}, {})], {"1": "one"}, baseline="x", metrics=("Dice",))


def pictures(folder: Path, comparison: Comparison) -> CasePictures:
    sources = PictureSources(DatasetJson.load(folder / "dataset.json"), folder / "labelsTr", RawDataset(folder))
    return sources.picture(comparison, "a", "why", find_metric("Dice"))


def test_a_colour_image_is_shown_in_colour_and_a_2d_case_names_no_slice(tmp_path: Path) -> None:
    found = pictures(tmp_path, colour_dataset(tmp_path))
    assert [panel.title for panel in found.panels] == ["image", "reference", "x"]
    assert found.panels[2].score == "Dice 0.5000"
    assert found.where == ""
    picture = Image.open(io.BytesIO(base64.b64decode(found.panels[0].picture.partition(",")[2]))).convert("RGB")
    assert picture.getpixel((9, 9)) == (255, 0, 0)


def test_a_prediction_on_another_grid_is_refused(tmp_path: Path) -> None:
    comparison = colour_dataset(tmp_path, prediction=(5, 5))
    with pytest.raises(UserError, match="has shape"):
        pictures(tmp_path, comparison)
