"""Which files of a folder are unlabelled images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autodiffseg.errors import UserError
from autodiffseg.preprocessing.image_files import find_any_images, find_images, unlabelled_folders


def found(folder: Path, names: list[str], channels: int) -> dict[str, list[str]]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return {image.name: [path.name for path in image.files] for image in find_images(folder, channels)}


def test_channels_of_one_image_are_put_together_whatever_their_ending(tmp_path: Path) -> None:
    names = ["b_0001.mha", "b_0000.mha", "a_0000.NII.gz", "a_0001.nii.gz", "notes.csv", ".b_0002.mha"]
    assert found(tmp_path, names, channels=3) == {
        "a": ["a_0000.NII.gz", "a_0001.nii.gz"],
        "b": ["b_0000.mha", "b_0001.mha"],
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_without_channel_numbers_each_file_is_an_image(tmp_path: Path, channels: int) -> None:
    assert found(tmp_path, ["x.png", "scan_2019.jpg", "y.z.TIF"], channels) == {
        "scan_2019": ["scan_2019.jpg"],
        "x": ["x.png"],
        "y.z": ["y.z.TIF"],
    }


def test_a_number_beyond_the_channels_belongs_to_the_name(tmp_path: Path) -> None:
    assert list(found(tmp_path, ["scan_2019_0000.png", "scan_2020_0000.png"], 1)) == ["scan_2019", "scan_2020"]


def test_a_folder_that_is_numbered_in_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"a_0001.png and 1 more: the name has no channel number below 1.*NAME_0000.png"
    ):
        found(tmp_path, ["a_0000.png", "a_0001.png", "b.png"], channels=1)


def test_two_files_for_one_channel_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a_0000.png and a_0000.jpg are one channel of one image"):
        found(tmp_path, ["a_0000.png", "a_0000.jpg", "b_0000.png"], channels=1)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub.png").mkdir()
    with pytest.raises(UserError, match=r"holds no images \(.nii.gz"):
        found(tmp_path, ["notes.txt"], channels=1)
    with pytest.raises(UserError, match="missing does not exist"):
        find_images(tmp_path / "missing", 1)


def test_a_dataset_stands_for_the_unlabelled_folders_that_it_declares(tmp_path: Path) -> None:
    declaration = {"channel_names": {"0": "x"}, "labels": {"background": 0}, "file_ending": ".png"}
    assert unlabelled_folders(tmp_path) == (tmp_path,)
    (tmp_path / "dataset.json").write_text(json.dumps({**declaration, "unlabelled": ["un", "other"]}))
    assert unlabelled_folders(tmp_path) == (tmp_path / "un", tmp_path / "other")
    (tmp_path / "dataset.json").write_text(json.dumps(declaration))
    with pytest.raises(UserError, match=r"lists no folders under 'unlabelled'.*--unlabelled FOLDER"):
        unlabelled_folders(tmp_path)


def test_images_that_are_only_compared_with_may_be_called_anything_and_may_lack(tmp_path: Path) -> None:
    for name in ("a_0000.png", "a_0000.jpg", "b.png", "a_0001.mha", ".gitkeep", "notes.txt"):
        (tmp_path / name).touch()
    assert [(image.name, len(image.files)) for image in find_any_images(tmp_path, 2)] == [("a", 2), ("b", 1)]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".gitkeep").touch()
    assert find_any_images(tmp_path / "empty", 1) == find_any_images(tmp_path / "nowhere", 1) == ()
