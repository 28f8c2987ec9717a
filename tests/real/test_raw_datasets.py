"""The integrity check on real datasets."""

from pathlib import Path

import pytest

from autodiffseg.dataset import RawDataset
from autodiffseg.integrity import Problem, check_dataset

pytestmark = pytest.mark.real

SOUND = [
    "Dataset004_Hippocampus", "Dataset027_ACDC", "Dataset110_JSRT", "Dataset111_CovidCXR", "Dataset120_LIDC4",
    "Dataset150_BraTS15mini",
]  # fmt: skip


def problems(data: Path, name: str) -> list[Problem]:
    return check_dataset(RawDataset(data / name), processes=1)


@pytest.mark.parametrize("name", SOUND)
def test_labelled_datasets_are_sound(real_data: Path, name: str) -> None:
    assert [str(problem) for problem in problems(real_data, name) if problem.fatal] == []


def test_the_two_hippocampus_labels_stored_as_floats_are_one_note(real_data: Path) -> None:
    notes = problems(real_data, "Dataset004_Hippocampus")
    assert [note.file for note in notes] == ["labelsTr/hippocampus_003.nii.gz and 1 more"]


def test_a_dataset_without_labels_lacks_classes_and_cases_and_nothing_else(real_data: Path) -> None:
    found = [problem.what for problem in problems(real_data, "Dataset112_CXRunlabelled")]
    assert found == ["labels declares no foreground class", "there is no training case"]
