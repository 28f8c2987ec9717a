"""Tests of the integrity check: each fault is found, told with its file, and none is invented."""

import gzip
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from autodiffseg import integrity
from autodiffseg.dataset import RawDataset
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.integrity import Problem, check_dataset

GRID = Geometry(shape=(3, 4, 5), spacing=(2.0, 1.0, 1.0), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
FLAT = Geometry(shape=(1, 4, 5), spacing=(1, 1, 1), origin=(0, 0), direction=(1, 0, 0, 1))
IMAGE = np.arange(60, dtype=np.int16).reshape(GRID.shape)
LABEL = (IMAGE % 3).astype(np.uint8)


def make(folder: Path, *, cases: int = 3, channels: int = 1, ending: str = ".nii.gz", **keys: Any) -> Path:
    """A sound dataset of cases a, b, c, …; `keys` go into dataset.json."""
    declared = {
        "channel_names": {str(number): "MRI" for number in range(channels)},
        "labels": {"background": 0, "left": 1, "right": 2},
        "file_ending": ending,
        "numTraining": cases,
    }
    for case in "abcdefghij"[:cases]:
        for number in range(channels):
            write_image(folder / "imagesTr" / f"{case}_{number:04d}{ending}", IMAGE, GRID)
        write_image(folder / "labelsTr" / f"{case}{ending}", LABEL, GRID)
    (folder / "dataset.json").write_text(json.dumps(declared | keys))
    return folder


def check(folder: Path) -> list[Problem]:
    return check_dataset(RawDataset(folder), processes=1)


def only(folder: Path, *, fatal: bool = True) -> Problem:
    """The one problem that is found."""
    problems = check(folder)
    assert len(problems) == 1, [str(problem) for problem in problems]
    assert problems[0].fatal is fatal
    return problems[0]


def change(grid: Geometry, **fields: Any) -> Geometry:
    return grid.model_copy(update=fields)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_sound_dataset_has_no_problem(tmp_path: Path, channels: int) -> None:
    assert check(make(tmp_path, channels=channels)) == []


LABELS: list[tuple[dict[str, Any], str]] = [
    ({"left": 1}, "no 'background'"),
    ({"background": 1, "left": 2}, "no 'background'"),
    ({"background": 0, "left": 1, "right": 1, "x": 2}, "gives 1 to left and right"),
    ({"background": 0, "left": 1, "right": 2, "x": -3}, "labels holds -3"),
    ({"background": 0, "left": 1, "right": 2, "x": 256}, "labels holds 256"),
    ({"background": 0, "left": 1, "right": 3, "ignore": 2}, "'ignore' is 2"),
    ({"background": 0, "left": 1, "ignore": [2, 3]}, "'ignore' is (2, 3)"),
    ({"background": 0}, "no foreground class"),
]


@pytest.mark.parametrize(("labels", "what"), LABELS)
def test_contradictions_of_the_labels_are_found(tmp_path: Path, labels: dict[str, Any], what: str) -> None:
    found = [str(problem) for problem in check(make(tmp_path, labels=labels)) if problem.fatal]
    assert any(what in text and text.startswith("dataset.json") for text in found), found


@pytest.mark.parametrize(
    "labels", [{"background": 0, "a": 1, "b": 2, "far": 9}, {"background": 0, "a": 1, "ignore": 2}]
)
def test_gaps_between_labels_and_an_ignore_label_are_fine(tmp_path: Path, labels: dict[str, int]) -> None:
    assert check(make(tmp_path, labels=labels)) == []


REGIONS: list[tuple[dict[str, Any], list[int] | None, str | None]] = [
    ({"whole": [1, 2], "core": 2}, [1, 2], None),
    ({"whole": [1, 2], "core": 2}, None, "regions_class_order is missing"),
    ({"whole": [1, 2], "core": 2}, [1], "give one for each of the 2 regions"),
    ({"whole": [1, 2], "core": 2}, [1, 7], "regions_class_order paints 7"),
    ({"whole": [0, 1, 2], "core": 2}, [1, 2], "region 'whole' holds 0"),
    ({"whole": [1, 2], "core": []}, [1, 2], "region 'core' is empty"),
    ({"whole": [1, 2, 3], "core": 2, "ignore": 3}, [1, 2], "holds 3, the ignore label"),
]


@pytest.mark.parametrize(("labels", "order", "what"), REGIONS)
def test_contradictions_of_the_regions_are_found(
    tmp_path: Path, labels: dict[str, Any], order: list[int] | None, what: str | None
) -> None:
    folder = make(tmp_path, labels={"background": 0} | labels, regions_class_order=order)
    if what is None:
        assert check(folder) == []
    else:
        assert what in str(only(folder))


def test_an_unknown_ending_is_told_once_and_no_file_is_opened(tmp_path: Path) -> None:
    folder = make(tmp_path, cases=0, file_ending=".dcm")
    (folder / "imagesTr").mkdir()
    (folder / "imagesTr" / "a_0000.dcm").write_text("x")
    problems = [problem for problem in check(folder) if problem.fatal]
    assert len(problems) == 1
    assert "use one of .nii.gz" in str(problems[0])


@pytest.mark.parametrize("names", [{"1": "MRI"}, {"MRI": "0"}])
def test_channels_must_be_numbered_from_zero(tmp_path: Path, names: dict[str, str]) -> None:
    assert "the keys of channel_names are" in only(make(tmp_path, channel_names=names)).what


def test_a_dataset_without_cases_is_refused(tmp_path: Path) -> None:
    assert "no training case" in only(make(tmp_path, cases=0)).what


def test_another_number_of_cases_is_a_note(tmp_path: Path) -> None:
    assert "numTraining is 5, but there are 3" in only(make(tmp_path, numTraining=5), fatal=False).what


def test_missing_partners_are_found(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / "imagesTr" / "a_0000.nii.gz").unlink()
    (folder / "labelsTr" / "b.nii.gz").unlink()
    found = [(problem.file, problem.what) for problem in check(folder)]
    assert found == [
        ("imagesTr/a_0000.nii.gz", "the file is missing"),
        ("labelsTr/b.nii.gz", "the file is missing"),
    ]


def test_a_missing_channel_is_named(tmp_path: Path) -> None:
    folder = make(tmp_path, channels=3)
    (folder / "imagesTr" / "b_0001.nii.gz").unlink()
    assert only(folder).what == "the case has no channel _0001"
    (folder / "imagesTr" / "b_0002.nii.gz").unlink()
    assert "channels: 1 in 1 file; dataset.json declares 3" in only(folder).what


def test_a_channel_too_many_is_found(tmp_path: Path) -> None:
    folder = make(tmp_path)
    write_image(folder / "imagesTr" / "c_0001.nii.gz", IMAGE, GRID)
    assert "channels: 2 in 2 files; dataset.json declares 1" in only(folder).what


def test_a_colour_image_stands_for_three_channels(tmp_path: Path) -> None:
    folder = make(tmp_path, cases=0, channels=3, ending=".png", numTraining=1)
    (folder / "imagesTr").mkdir()
    colours = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(folder / "imagesTr" / "a_0000.png"))
    write_image(folder / "labelsTr" / "a.png", LABEL[:1], FLAT)
    assert check(folder) == []
    (folder / "dataset.json").write_text(
        (folder / "dataset.json").read_text().replace('{"0": "MRI", "1": "MRI", "2": "MRI"}', '{"0": "MRI"}')
    )
    assert "channels: 3 in 1 file; dataset.json declares 1" in only(folder).what


def test_images_without_channel_number_are_found(tmp_path: Path) -> None:
    folder = make(tmp_path)
    write_image(folder / "imagesTr" / "d.nii.gz", IMAGE, GRID)
    problem = only(folder)
    assert problem.file == "imagesTr/d.nii.gz"
    assert "CASE_0000.nii.gz" in problem.cure


def damage_cut(path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(GRID.shape)
    write_image(path, noise, GRID)
    path.write_bytes(path.read_bytes()[:-60])


def damage_text(path: Path) -> None:
    path.write_text("this is no image")


@pytest.mark.parametrize("damage", [damage_cut, damage_text])
@pytest.mark.parametrize("name", ["imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"])
def test_unreadable_files_are_found(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    folder = make(tmp_path)
    damage(folder / name)
    problem = only(folder)
    assert problem.file == name
    assert "cannot be read as an image" in problem.what


def test_a_dataset_without_any_foreground_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path, labels={"background": 0, "left": 1, "right": 2, "ignore": 3})
    for case, value in zip("abc", (0, 3, 0), strict=True):
        write_image(folder / "labelsTr" / f"{case}.nii.gz", np.full(GRID.shape, value, np.uint8), GRID)
    fatal = [problem for problem in check(folder) if problem.fatal]
    assert [problem.what for problem in fatal] == ["no training case has any foreground: there is nothing to learn"]


@pytest.mark.parametrize("ending", [".nii.gz", ".mha"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_found_in_images_and_labels(tmp_path: Path, ending: str, value: float) -> None:
    folder = make(tmp_path, ending=ending)
    image, label = IMAGE.astype(np.float32), LABEL.astype(np.float32)
    image[1, 2, :2] = label[0, 0, 0] = value
    write_image(folder / "imagesTr" / f"a_0000{ending}", image, GRID)
    write_image(folder / "labelsTr" / f"b{ending}", label, GRID)
    found = [(problem.file, problem.what) for problem in check(folder)]
    assert found == [
        (f"imagesTr/a_0000{ending}", "2 voxels are NaN or infinite"),
        (f"labelsTr/b{ending}", "it holds numbers that are not whole"),
    ]


def test_undeclared_label_values_are_listed(tmp_path: Path) -> None:
    folder = make(tmp_path)
    label = LABEL.astype(np.int16)
    label[0, 0, :3] = 7, -4, 900
    write_image(folder / "labelsTr" / "c.nii.gz", label, GRID)
    assert "it holds -4, 7, 900, which" in only(folder).what


def test_a_painted_over_photograph_is_told_in_one_line(tmp_path: Path) -> None:
    folder = make(tmp_path)
    write_image(folder / "labelsTr" / "c.nii.gz", IMAGE, GRID)  # 60 values, 3 of them declared
    assert only(folder).what.startswith("it holds 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 47 more values")


def test_label_numbers_that_are_not_whole_are_found(tmp_path: Path) -> None:
    folder = make(tmp_path)
    write_image(folder / "labelsTr" / "c.nii.gz", LABEL * np.float32(0.5), GRID)
    assert only(folder).what == "it holds numbers that are not whole"


def test_whole_numbers_stored_as_floats_are_one_note(tmp_path: Path) -> None:
    folder = make(tmp_path)
    for case in "abc":
        write_image(folder / "labelsTr" / f"{case}.nii.gz", LABEL.astype(np.float64), GRID)
    note = only(folder, fatal=False)
    assert note.file == "labelsTr/a.nii.gz and 2 more"
    assert "stored as floats" in note.what


def test_colour_label_maps_are_found(tmp_path: Path) -> None:
    folder = make(tmp_path)
    colours = sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True)
    sitk.WriteImage(colours, str(folder / "labelsTr" / "a.nii.gz"))
    assert "it has 3 colour components" in [problem.what for problem in check(folder)]


WRONG_GRIDS = [
    ({"shape": (2, 4, 5)}, "its shape is (2, 4, 5), that of imagesTr/b_0000.nii.gz is (3, 4, 5)"),
    ({"spacing": (2.0, 1.0, 1.01)}, "its spacing is (2, 1, 1.01), that of imagesTr/b_0000.nii.gz is (2, 1, 1) mm"),
]


@pytest.mark.parametrize(("fields", "what"), WRONG_GRIDS)
def test_a_label_on_another_grid_is_found(tmp_path: Path, fields: dict[str, Any], what: str) -> None:
    folder = make(tmp_path)
    grid = change(GRID, **fields)
    write_image(folder / "labelsTr" / "b.nii.gz", LABEL[: grid.shape[0]], grid)
    assert what in only(folder).what


def test_a_channel_on_another_grid_is_found(tmp_path: Path) -> None:
    folder = make(tmp_path, channels=2)
    write_image(folder / "imagesTr" / "b_0001.nii.gz", IMAGE[:2], change(GRID, shape=(2, 4, 5)))
    assert only(folder).file == "imagesTr/b_0001.nii.gz"


def test_another_place_is_a_note_and_float_noise_is_nothing(tmp_path: Path) -> None:
    folder = make(tmp_path)
    noisy = change(GRID, origin=(5e-4, 0, 0), spacing=(2.001, 1.0, 1.0))
    write_image(folder / "labelsTr" / "a.nii.gz", LABEL, noisy)
    assert check(folder) == []
    write_image(folder / "labelsTr" / "a.nii.gz", LABEL, change(GRID, origin=(0.1, 0, 0)))
    assert "origin or direction differs" in only(folder, fatal=False).what
    write_image(folder / "labelsTr" / "a.nii.gz", LABEL, change(GRID, direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1)))
    assert "origin or direction differs" in only(folder, fatal=False).what


@pytest.mark.parametrize("step", [0.0, float("nan"), float("inf")])
def test_impossible_voxel_sizes_are_found(tmp_path: Path, step: float) -> None:
    folder = make(tmp_path)
    for path in (folder / "imagesTr" / "b_0000.nii.gz", folder / "labelsTr" / "b.nii.gz"):
        data = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into("<f", data, 80, step)
        path.write_bytes(gzip.compress(data))
    found = [problem.file for problem in check(folder) if "the voxel size is" in problem.what]
    assert found == ["imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"]


def test_constant_images_and_empty_labels_are_notes(tmp_path: Path) -> None:
    folder = make(tmp_path, labels={"background": 0, "left": 1, "right": 2, "ignore": 3})
    write_image(folder / "imagesTr" / "a_0000.nii.gz", np.full(GRID.shape, 7, np.int16), GRID)
    write_image(folder / "labelsTr" / "b.nii.gz", np.zeros(GRID.shape, np.uint8), GRID)
    write_image(folder / "labelsTr" / "c.nii.gz", np.full(GRID.shape, 3, np.uint8), GRID)  # all "not annotated"
    found = [(problem.file, problem.what, problem.fatal) for problem in check(folder)]
    assert found == [
        ("imagesTr/a_0000.nii.gz", "all voxels have the same value", False),
        ("labelsTr/b.nii.gz and 1 more", "it has no foreground", False),
    ]


def test_mixed_dimensions_are_found(tmp_path: Path) -> None:
    folder = make(tmp_path, ending=".mha")
    write_image(folder / "imagesTr" / "b_0000.mha", IMAGE[:1], FLAT)
    write_image(folder / "labelsTr" / "b.mha", LABEL[:1], FLAT)
    problem = only(folder)
    assert problem.file == "imagesTr/b_0000.mha"
    assert problem.what == "this is 2D as 1 of 3 images are, others are 3D"


def test_a_flat_label_of_a_volume_is_found(tmp_path: Path) -> None:
    folder = make(tmp_path, ending=".mha")
    write_image(folder / "labelsTr" / "b.mha", LABEL[:1], FLAT)
    assert only(folder).what == "it has 2 axes, imagesTr/b_0000.mha has 3"


def test_folders_that_dataset_json_names_must_exist(tmp_path: Path) -> None:
    folder = make(tmp_path, annotators={"a1": "labelsTr_a1"}, unlabelled=["imagesUn"])
    assert [problem.file for problem in check(folder)] == ["labelsTr_a1", "imagesUn"]


def test_label_maps_of_annotators_are_checked_where_they_exist(tmp_path: Path) -> None:
    folder = make(tmp_path, annotators={"a1": "labelsTr_a1"})
    write_image(folder / "labelsTr_a1" / "b.nii.gz", LABEL + np.uint8(1), GRID)
    problem = only(folder)
    assert problem.file == "labelsTr_a1/b.nii.gz"
    assert "it holds 3, which" in problem.what


def test_cases_without_group_are_told_once(tmp_path: Path) -> None:
    assert "does not name case 'b'" in only(make(tmp_path, groups={"a": "p"})).what
    assert "finds no group in case id 'a'" in only(make(tmp_path, group_regex="(z)")).what


def test_files_named_by_dataset_json_are_checked(tmp_path: Path) -> None:
    folder = make(tmp_path)
    files = {"x": {"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/none.nii.gz"}}
    declared = json.loads((folder / "dataset.json").read_text()) | {"dataset": files, "numTraining": 1}
    (folder / "dataset.json").write_text(json.dumps(declared))
    assert only(folder).file == "labelsTr/none.nii.gz"
    declared["dataset"] = {"x/y": {"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}}
    (folder / "dataset.json").write_text(json.dumps(declared))
    assert "holds a slash" in only(folder).what


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    folder = make(tmp_path, cases=5, labels={"background": 0, "left": 1, "right": 1})
    (folder / "labelsTr" / "a.nii.gz").unlink()
    damage_text(folder / "imagesTr" / "b_0000.nii.gz")
    write_image(folder / "imagesTr" / "c_0000.nii.gz", IMAGE[:2], change(GRID, shape=(2, 4, 5)))
    text = "\n".join(map(str, check(folder)))
    for part in ("gives 1 to", "a.nii.gz: the file is missing", "b_0000.nii.gz: cannot", "c.nii.gz: its shape"):
        assert part in text


def test_every_case_is_counted(tmp_path: Path) -> None:
    seen: list[None] = []
    check_dataset(RawDataset(make(tmp_path)), processes=1, on_case=lambda: seen.append(None))
    assert len(seen) == 3


@pytest.mark.slow
def test_worker_processes_find_the_same_and_every_case_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path, cases=10)
    damage_text(folder / "labelsTr" / "j.nii.gz")
    (folder / "imagesTr" / "b_0000.nii.gz").unlink()
    expected = check(folder)
    assert len(expected) == 2
    monkeypatch.setattr(integrity, "FEW_BYTES", 0)
    seen: list[None] = []
    assert check_dataset(RawDataset(folder), processes=2, on_case=lambda: seen.append(None)) == expected
    assert len(seen) == 10


def test_the_check_imports_no_torch() -> None:
    # A worker that imports torch takes seconds to start.
    code = "import sys, autodiffseg.integrity, autodiffseg.prediction_inputs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
