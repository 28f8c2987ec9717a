"""Tests of the Decathlon converter."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from autodiffseg.dataset import RawDataset
from autodiffseg.dataset_conversion.convert import command
from autodiffseg.dataset_conversion.msd import convert_task
from autodiffseg.errors import UserError
from autodiffseg.images import read_image
from autodiffseg.integrity import check_dataset


def make_task(folder: Path, *, channels: int = 1, **keys: Any) -> Path:
    """A task of two training cases and one test case, as it is downloaded."""
    declared = {
        "name": "Toy",
        "licence": "CC-BY-SA 4.0",
        "tensorImageSize": "3D",
        "modality": {str(number): f"m{number}" for number in range(channels)},
        "labels": {"0": "Background", "1": "left", "2": "right"},
        "training": [{"image": f"./imagesTr/t_{n}.nii.gz", "label": f"./labelsTr/t_{n}.nii.gz"} for n in (1, 2)],
        "test": ["./imagesTs/t_3.nii.gz"],
    }
    for part, number in (("Tr", 1), ("Tr", 2), ("Ts", 3)):
        voxels = np.arange(60 * channels, dtype=np.int16).reshape(channels, 3, 4, 5) + number
        save(folder / f"images{part}" / f"t_{number}.nii.gz", voxels if channels > 1 else voxels[0])
    for number in (1, 2):
        save(folder / "labelsTr" / f"t_{number}.nii.gz", np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % 3)
    (folder / "imagesTr" / "._t_1.nii.gz").write_text("left behind by macOS")
    (folder / "dataset.json").write_text(json.dumps(declared | keys))
    return folder


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((1.5, 1.0, 2.0, 1.0)[: array.ndim])
    image.SetOrigin((5.0, -3.0, 2.0, 0.0)[: array.ndim])
    sitk.WriteImage(image, str(path))


def pack(task: Path) -> Path:
    archive = task.with_name(f"{task.name}.tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(task, task.name)
    return archive


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path / "download" / "Task04_Toy")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


FILES = {
    "dataset.json", "imagesTr/t_1_0000.nii.gz", "imagesTr/t_2_0000.nii.gz", "labelsTr/t_1.nii.gz",
    "labelsTr/t_2.nii.gz", "imagesTs/t_3_0000.nii.gz",
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_a_task_becomes_a_sound_dataset_byte_for_byte(task: Path, tmp_path: Path, packed: bool) -> None:
    folder = convert_task(pack(task) if packed else task, tmp_path / "raw")
    assert folder == tmp_path / "raw" / "Dataset004_Toy"
    assert names(folder) == FILES
    for ours, theirs in (("imagesTr/t_1_0000", "imagesTr/t_1"), ("labelsTr/t_2", "labelsTr/t_2")):
        assert (folder / f"{ours}.nii.gz").read_bytes() == (task / f"{theirs}.nii.gz").read_bytes()
    assert check_dataset(RawDataset(folder), processes=1) == []
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["Dataset004_Toy"]
    assert (task / "imagesTr" / "t_1.nii.gz").exists()


def test_dataset_json_is_translated(task: Path, tmp_path: Path) -> None:
    assert json.loads((convert_task(task, tmp_path / "raw") / "dataset.json").read_text()) == {
        "name": "Toy",
        "licence": "CC-BY-SA 4.0",
        "channel_names": {"0": "m0"},
        "labels": {"background": 0, "left": 1, "right": 2},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }


def test_series_are_split_into_channels_in_place(tmp_path: Path) -> None:
    task = make_task(tmp_path / "Task01_Toy", channels=2)
    folder = convert_task(task, tmp_path / "raw")
    assert len(names(folder)) == 9
    for channel in (0, 1):
        array, geometry = read_image(folder / "imagesTr" / f"t_2_000{channel}.nii.gz")
        expected = np.arange(120).reshape(2, 3, 4, 5)[channel] + 2
        assert array.dtype == np.int16
        np.testing.assert_array_equal(array[0], expected)
        assert geometry.spacing == (2.0, 1.0, 1.5)
        assert geometry.origin == (5.0, -3.0, 2.0)
    assert check_dataset(RawDataset(folder), processes=1) == []


def test_the_command_takes_number_and_folder(task: Path, tmp_path: Path) -> None:
    call = ["msd", str(task), "--out", str(tmp_path / "raw"), "--number", "77"]
    result = CliRunner().invoke(command, call)
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "raw" / "Dataset077_Toy") == FILES


def test_the_command_writes_into_the_workspace(task: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["msd", str(task), "--workspace", str(tmp_path / "w")])
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "w" / "raw" / "Dataset004_Toy") == FILES


def refusal(task: Path, out: Path) -> str:
    before = names(out) if out.exists() else set()
    with pytest.raises(UserError) as error:
        convert_task(task, out)
    assert (names(out) if out.exists() else set()) == before
    return str(error.value)


def test_an_existing_dataset_is_left_alone(task: Path, tmp_path: Path) -> None:
    convert_task(task, tmp_path / "raw")
    assert "exists already" in refusal(task, tmp_path / "raw")


def test_sources_that_are_no_task_are_refused(task: Path, tmp_path: Path) -> None:
    out = tmp_path / "raw"
    assert "does not exist" in refusal(tmp_path / "Task09_None", out)
    assert "not called like a Decathlon task" in refusal(task.rename(task.with_name("Toy")), out)
    (tmp_path / "Task05_Empty").mkdir()
    assert "dataset.json does not exist" in refusal(tmp_path / "Task05_Empty", out)


def test_missing_files_are_all_named(task: Path, tmp_path: Path) -> None:
    (task / "imagesTr" / "t_2.nii.gz").unlink()
    (task / "imagesTs" / "t_3.nii.gz").unlink()
    text = refusal(task, tmp_path / "raw")
    assert "lacks 2 files" in text
    assert "t_2.nii.gz, t_3.nii.gz" in text


def test_a_wrong_number_of_channels_is_refused(tmp_path: Path) -> None:
    task = make_task(tmp_path / "Task04_Toy", modality={"0": "a", "1": "b"})
    assert "has 1 channels, dataset.json names 2" in refusal(task, tmp_path / "raw")


def test_labels_of_one_name_are_refused(tmp_path: Path) -> None:
    task = make_task(tmp_path / "Task04_Toy", labels={"0": "bg", "1": "left", "2": "left"})
    assert "two labels the same name" in refusal(task, tmp_path / "raw")


@pytest.mark.parametrize("name", ["../../secret.nii.gz", "/etc/secret.nii.gz"])
def test_files_outside_the_task_are_refused(tmp_path: Path, name: str) -> None:
    task = make_task(tmp_path / "Task04_Toy", test=[name])
    assert "lies outside the task" in refusal(task, tmp_path / "raw")


def test_a_damaged_image_is_refused(task: Path, tmp_path: Path) -> None:
    (task / "imagesTr" / "t_2.nii.gz").write_text("no image")
    assert "t_2.nii.gz cannot be read as an image" in refusal(task, tmp_path / "raw")


def test_a_damaged_archive_is_refused(task: Path, tmp_path: Path) -> None:
    archive = pack(task)
    archive.write_bytes(archive.read_bytes()[:3000])
    assert "cannot be unpacked" in refusal(archive, tmp_path / "raw")
    archive.write_text("no archive")
    assert "cannot be unpacked" in refusal(archive, tmp_path / "raw")


@pytest.mark.parametrize("escape", ["path", "link"])
def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path: Path, escape: str) -> None:
    archive = tmp_path / "Task04_Toy.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("../../stolen.txt" if escape == "path" else "Task04_Toy/link")
        if escape == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        else:
            member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    assert "not safe to unpack" in refusal(archive, tmp_path / "deep" / "raw")
    assert not (tmp_path / "stolen.txt").exists()


def test_two_tasks_in_one_archive_are_refused(task: Path, tmp_path: Path) -> None:
    make_task(task / "another")
    assert "holds 2 dataset.json files" in refusal(pack(task), tmp_path / "raw")
