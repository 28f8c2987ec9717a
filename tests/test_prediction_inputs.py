"""Tests of finding and refusing the images that predict is given."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.prediction_inputs import check_prediction_inputs

GRID = Geometry(shape=(3, 4, 5), spacing=(2, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))


def add(folder: Path, *names: str, shape: tuple[int, int, int] = (3, 4, 5)) -> None:
    for name in names:
        voxels = np.random.default_rng(0).standard_normal(shape)
        write_image(folder / f"{name}.nii.gz", voxels, GRID.model_copy(update={"shape": shape}))


def refusal(folder: Path, channels: int = 2) -> str:
    with pytest.raises(UserError) as error:
        check_prediction_inputs(folder, ".nii.gz", channels)
    return str(error.value)


def test_cases_are_found_with_their_channels_in_order(tmp_path: Path) -> None:
    add(tmp_path, "b_0001", "b_0000", "a_0000", "a_0001")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._a_0000.nii.gz").touch()
    found = check_prediction_inputs(tmp_path, ".nii.gz", 2)
    assert list(found) == ["a", "b"]
    assert [path.name for path in found["b"]] == ["b_0000.nii.gz", "b_0001.nii.gz"]


def test_a_missing_or_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none")
    assert "holds no image called CASE_0000.nii.gz" in refusal(tmp_path)


def test_all_bad_cases_are_told_at_once(tmp_path: Path) -> None:
    add(tmp_path, "a_0000", "a_0001", "b_0000", "c_0001", "d_0000", "d_0001", "d_0002", "e_0000", "f")
    add(tmp_path, "e_0001", shape=(2, 4, 5))
    text = refusal(tmp_path)
    for part in (
        "has 5 bad inputs",
        "f.nii.gz: its name has no channel number",
        "b_0001.nii.gz is missing",
        "c_0000.nii.gz is missing",
        "d has 3 channels, the model wants 2",
        "e_0001.nii.gz has shape (2, 4, 5)",
    ):
        assert part in text
    assert "\n  a" not in text


@pytest.mark.parametrize(("step", "same"), [(1.0009, True), (1.002, False)])
def test_channels_lie_on_one_grid_up_to_a_thousandth(step: float, same: bool, tmp_path: Path) -> None:
    add(tmp_path, "a_0000")
    grid = GRID.model_copy(update={"spacing": (2 * step, 1, 1)})
    write_image(tmp_path / "a_0001.nii.gz", np.zeros(GRID.shape), grid)
    if same:
        assert len(check_prediction_inputs(tmp_path, ".nii.gz", 2)["a"]) == 2
    else:
        assert "a_0001.nii.gz has the spacing (2.004, 1, 1), a_0000.nii.gz has (2, 1, 1) mm" in refusal(tmp_path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    add(tmp_path, "a_0000", "b_0000", "c_0000")
    (tmp_path / "a_0000.nii.gz").write_text("no image")
    whole = (tmp_path / "b_0000.nii.gz").read_bytes()
    (tmp_path / "b_0000.nii.gz").write_bytes(whole[:-60])
    text = refusal(tmp_path, channels=1)
    assert "has 2 bad inputs" in text
    assert "b_0000.nii.gz cannot be read as an image: it is cut off" in text


def test_a_colour_image_stands_for_three_channels(tmp_path: Path) -> None:
    colours = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "a_0000.png"))
    assert list(check_prediction_inputs(tmp_path, ".png", 3)) == ["a"]
    for wanted in (1, 4):
        with pytest.raises(UserError, match=f"a has 3 channels, the model wants {wanted}"):
            check_prediction_inputs(tmp_path, ".png", wanted)


def test_the_list_is_cut_at_thirty(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"x{number}.nii.gz").touch()
    assert refusal(tmp_path).splitlines()[-1] == "  … and 10 more"
