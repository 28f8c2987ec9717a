"""Tests of the command that writes the phantom dataset."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from autodiffseg.dataset import RawDataset
from autodiffseg.dataset_conversion.phantom import SPACING, command, write_phantom
from autodiffseg.errors import UserError
from autodiffseg.images import read_image
from autodiffseg.integrity import check_dataset

SMALL = (20, 24, 16)
PARTS = (("images", "_0000"), ("labels", ""))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_command_writes_a_whole_sound_dataset(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    call = [str(tmp_path), "--cases", "2", "--test-cases", "1", "--shape", "20", "24", "16"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "Dataset900_Phantom"
    assert set(contents(folder)) == {
        "dataset.json",
        *(f"{part}Tr/phantom_00{number}{end}.nii.gz" for number in (0, 1) for part, end in PARTS),
        *(f"{part}Ts/phantom_002{end}.nii.gz" for part, end in PARTS),
    }
    assert check_dataset(RawDataset(folder), processes=1) == []


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    sets = [
        contents(write_phantom(tmp_path / str(index), cases=2, test_cases=1, shape=SMALL, seed=seed))
        for index, seed in enumerate((5, 5, 6))
    ]
    assert sets[0] == sets[1]
    assert sets[0]["labelsTr/phantom_000.nii.gz"] != sets[2]["labelsTr/phantom_000.nii.gz"]


def test_a_case_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    few = contents(write_phantom(tmp_path / "few", cases=1, test_cases=0, shape=SMALL))
    many = contents(write_phantom(tmp_path / "many", cases=2, test_cases=0, shape=SMALL))
    assert few["imagesTr/phantom_000_0000.nii.gz"] == many["imagesTr/phantom_000_0000.nii.gz"]
    assert not any(name.startswith("imagesTs") for name in few)


def test_volumes_are_anisotropic_and_lie_somewhere(tmp_path: Path) -> None:
    folder = write_phantom(tmp_path, cases=2, test_cases=0, shape=SMALL)
    first, second = (read_image(folder / "imagesTr" / f"phantom_00{n}_0000.nii.gz") for n in (0, 1))
    assert first[0].shape == (1, *SMALL)
    np.testing.assert_allclose(first[1].spacing, SPACING, rtol=1e-6)
    assert first[1].origin != second[1].origin
    assert first[1].direction[0] == -1


def test_flat_phantoms_are_png_images(tmp_path: Path) -> None:
    folder = write_phantom(tmp_path, cases=2, test_cases=1, dimensions=2)
    assert check_dataset(RawDataset(folder), processes=1) == []
    array, geometry = read_image(folder / "imagesTr" / "phantom_000_0000.png")
    assert array.dtype == np.uint8
    assert geometry.shape == (1, 96, 96)
    assert json.loads((folder / "dataset.json").read_text())["file_ending"] == ".png"


def test_a_folder_called_like_a_dataset_is_the_dataset(tmp_path: Path) -> None:
    assert write_phantom(tmp_path / "Dataset123_Mine", cases=1, test_cases=0, shape=SMALL).name == "Dataset123_Mine"
    assert (tmp_path / "Dataset123_Mine" / "dataset.json").is_file()


def test_an_existing_dataset_is_left_alone(tmp_path: Path) -> None:
    folder = write_phantom(tmp_path, cases=1, test_cases=0, shape=SMALL)
    before = contents(folder)
    with pytest.raises(UserError, match="exists already"):
        write_phantom(tmp_path, cases=1, test_cases=0, shape=SMALL, seed=1)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("shape", "dimensions", "message"),
    [((8, 40, 40), 3, "too small"), ((1, 8, 40), 2, "too small"), ((4, 40, 40), 2, "is not 2D")],
)
def test_shapes_that_hold_nothing_are_refused(
    tmp_path: Path, shape: tuple[int, int, int], dimensions: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        write_phantom(tmp_path, shape=shape, dimensions=dimensions)
    assert list(tmp_path.iterdir()) == []
