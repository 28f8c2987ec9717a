"""Tests of reading and writing images."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.images import read_case, read_geometry, read_image, read_label, read_number_of_channels, write_image

ANGLE = 0.3
OBLIQUE = Geometry(
    shape=(3, 4, 5),
    spacing=(2.5, 0.7, 1.1),
    origin=(-12.5, 7.25, 101.0),
    direction=(np.cos(ANGLE), -np.sin(ANGLE), 0, np.sin(ANGLE), np.cos(ANGLE), 0, 0, 0, 1),
)
FLAT = Geometry(shape=(1, 4, 5), spacing=(1, 1, 1), origin=(0, 0), direction=(1, 0, 0, 1))


def counted(geometry: Geometry, dtype: type = np.uint8) -> np.ndarray:
    return np.arange(np.prod(geometry.shape), dtype=dtype).reshape(geometry.shape)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_volumes_keep_voxels_and_place(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    write_image(path, counted(OBLIQUE), OBLIQUE)
    array, geometry = read_image(path)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, counted(OBLIQUE)[None])
    # NIfTI keeps its place in float32, and rebuilds the direction from a quaternion.
    tolerance = 1e-6 if "nii" in ending else 1e-9
    for field in ("spacing", "origin", "direction"):
        np.testing.assert_allclose(getattr(geometry, field), getattr(OBLIQUE, field), rtol=tolerance, atol=tolerance)
    assert geometry.shape == OBLIQUE.shape
    assert geometry.dimensions == 3


@pytest.mark.parametrize("ending", [".png", ".tif", ".tiff", ".bmp"])
def test_flat_images_keep_voxels_and_have_one_slice(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    write_image(path, counted(FLAT), FLAT)
    array, geometry = read_image(path)
    np.testing.assert_array_equal(array, counted(FLAT)[None])
    assert geometry.shape == (1, 4, 5)
    assert geometry.dimensions == 2


def test_a_written_label_lies_where_its_image_lies(tmp_path: Path) -> None:
    # Reading and writing once more changes nothing: predictions overlay their images.
    write_image(tmp_path / "a.nii.gz", counted(OBLIQUE), OBLIQUE)
    geometry = read_geometry(tmp_path / "a.nii.gz")
    write_image(tmp_path / "b.nii.gz", counted(OBLIQUE), geometry)
    again = read_geometry(tmp_path / "b.nii.gz")
    for field in ("spacing", "origin", "direction"):
        np.testing.assert_allclose(getattr(again, field), getattr(geometry, field), rtol=0, atol=1e-9)


def test_axes_are_turned_round(tmp_path: Path) -> None:
    image = sitk.Image(5, 4, 3, sitk.sitkUInt8)
    image.SetSpacing((1.1, 0.7, 2.5))
    image[4, 0, 1] = 9  # SimpleITK's x, y, z
    sitk.WriteImage(image, str(tmp_path / "x.mha"))
    array, geometry = read_image(tmp_path / "x.mha")
    assert array[0, 1, 0, 4] == 9
    assert geometry.shape == (3, 4, 5)
    assert geometry.spacing == (2.5, 0.7, 1.1)


def test_the_header_alone_says_the_same_as_the_image(tmp_path: Path) -> None:
    for name, geometry in (("x.nii.gz", OBLIQUE), ("x.png", FLAT)):
        write_image(tmp_path / name, counted(geometry), geometry)
        assert read_geometry(tmp_path / name) == read_image(tmp_path / name)[1]


def test_colours_become_channels(tmp_path: Path) -> None:
    colours = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "x.png"))
    array, geometry = read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(array[:, 0], np.moveaxis(colours, -1, 0))
    assert geometry.shape == (1, 4, 5)
    assert read_number_of_channels(tmp_path / "x.png") == 3
    with pytest.raises(UserError, match="3 components"):
        read_label(tmp_path / "x.png")


def test_a_colour_bmp_keeps_its_colours(tmp_path: Path) -> None:
    colours = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "x.bmp"))
    np.testing.assert_array_equal(read_image(tmp_path / "x.bmp")[0][:, 0], np.moveaxis(colours, -1, 0))
    assert read_number_of_channels(tmp_path / "x.bmp") == 3


def test_a_grey_bmp_has_one_channel_and_may_be_a_label_map(tmp_path: Path) -> None:
    write_image(tmp_path / "x.bmp", counted(FLAT), FLAT)
    assert read_number_of_channels(tmp_path / "x.bmp") == 1
    np.testing.assert_array_equal(read_label(tmp_path / "x.bmp")[0], counted(FLAT))


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha", ".nrrd", ".png"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, ending: str) -> None:
    geometry = FLAT if ending == ".png" else OBLIQUE
    noise = np.random.default_rng(0).integers(0, 255, geometry.shape, np.uint8)
    path = tmp_path / f"x{ending}"
    write_image(path, noise, geometry)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="cannot be read as an image"):
        read_image(path)


def test_channels_of_a_case_are_stacked(tmp_path: Path) -> None:
    paths = [tmp_path / "c_0000.nii.gz", tmp_path / "c_0001.nii.gz"]
    for factor, path in enumerate(paths, start=1):
        write_image(path, counted(OBLIQUE, np.int16) * factor, OBLIQUE)
    array, _ = read_case(paths)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array[1], array[0] * 2)


def test_channels_of_different_shape_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", counted(OBLIQUE), OBLIQUE)
    smaller = OBLIQUE.model_copy(update={"shape": (2, 4, 5)})
    write_image(tmp_path / "b.nii.gz", counted(smaller), smaller)
    with pytest.raises(UserError, match=r"b\.nii\.gz has shape \(2, 4, 5\)"):
        read_case([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"])


def test_whole_numbers_stored_as_floats_are_a_label_map(tmp_path: Path) -> None:
    write_image(tmp_path / "x.nii.gz", counted(OBLIQUE, np.float32), OBLIQUE)
    label, _ = read_label(tmp_path / "x.nii.gz")
    assert label.dtype == np.int16
    np.testing.assert_array_equal(label, counted(OBLIQUE))


@pytest.mark.parametrize("wrong", [0.5, np.nan, np.inf])
def test_numbers_that_are_not_whole_are_no_label_map(tmp_path: Path, wrong: float) -> None:
    array = counted(OBLIQUE, np.float32)
    array[0, 0, 0] = wrong
    write_image(tmp_path / "x.mha", array, OBLIQUE)
    with pytest.raises(UserError, match="not whole"):
        read_label(tmp_path / "x.mha")


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64])
@pytest.mark.parametrize(
    ("shift", "told"), [(40000, "label 40059;"), (65537, "label 65596;"), (-65535, "label -65535;")]
)
def test_labels_beyond_16_bit_are_refused(tmp_path: Path, dtype: type, shift: int, told: str) -> None:
    array = counted(OBLIQUE, dtype)
    array[array > 0] += max(shift, 0)
    array[0, 0, 0] += min(shift, 0)
    write_image(tmp_path / "x.nii.gz", array, OBLIQUE)
    with pytest.raises(UserError, match=told):
        read_label(tmp_path / "x.nii.gz")


def test_four_axes_are_refused_with_the_file_name(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image([3, 3, 3, 2], sitk.sitkUInt8), str(tmp_path / "x.nii.gz"))
    for read in (read_image, read_geometry):
        with pytest.raises(UserError, match=r"x\.nii\.gz has 4 axes"):
            read(tmp_path / "x.nii.gz")


@pytest.mark.parametrize("read", [read_image, read_geometry, read_label, read_number_of_channels])
def test_files_that_are_missing_or_no_images_are_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(UserError, match="does not exist"):
        read(tmp_path / "none.nii.gz")
    (tmp_path / "x.nii.gz").write_text("no image")
    with pytest.raises(UserError, match=r"x\.nii\.gz cannot be read as an image"):
        read(tmp_path / "x.nii.gz")


def test_an_array_must_fit_its_grid(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not lie on a grid"):
        write_image(tmp_path / "x.nii.gz", counted(FLAT), OBLIQUE)


def test_writing_into_a_file_as_folder_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(UserError, match="cannot be written"):
        write_image(tmp_path / "x" / "y.nii.gz", counted(OBLIQUE), OBLIQUE)
