"""Which files of a folder are images without labels, and which of them belong together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autodiffseg.dataset import IMAGE_ENDINGS, DatasetJson
from autodiffseg.errors import UserError

ENDINGS = (*IMAGE_ENDINGS, ".jpg", ".jpeg")
"""Of any letter case. A labelled dataset has one ending; images from elsewhere come as they are."""


class ImageFiles(NamedTuple):
    """One image."""

    name: str
    """Of the file without channel number and ending."""
    files: tuple[Path, ...]
    """In channel order; a colour file may stand for several channels."""


def find_images(folder: Path, channels: int) -> tuple[ImageFiles, ...]:
    """The images of a folder, sorted by name; none is opened.

    Files are called `NAME_0000.ext`, `NAME_0001.ext`, … by channel. Where no file of the folder has such a number,
    each is an image of its own. Files with other endings and hidden ones are passed over.

    Args:
        folder: its sub-folders are not looked into.
        channels: of the labelled dataset; a number beyond them belongs to the name.

    Raises:
        UserError: when the folder does not exist or holds no image, when only some files have a channel number, or
            when two have the same name and number.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist or is no folder; name a folder of images.")
    numbered, strangers = _sort(folder, channels)
    if not numbered and not strangers:
        raise UserError(f"{folder} holds no images ({', '.join(ENDINGS)}); name the folder that does.")
    for places in numbered.values():
        if double := next((paths for paths in places.values() if len(paths) > 1), None):
            raise UserError(
                f"{double[1]} and {double[0].name} are one channel of one image; rename or remove one of them."
            )
    if numbered and strangers:
        more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        raise UserError(
            f"{strangers[0]}{more}: the name has no channel number below {channels}, as others in the folder have; "
            f"call it NAME_0000{_ending(strangers[0])} or put it into a folder of its own."
        )
    return _images(numbered, strangers)


def find_any_images(folder: Path, channels: int) -> tuple[ImageFiles, ...]:
    """Like `find_images`, for images that are only compared with: whatever they are called, and also none."""
    return _images(*_sort(folder, channels)) if folder.is_dir() else ()


_Numbered = dict[str, dict[int, list[Path]]]


def _sort(folder: Path, channels: int) -> tuple[_Numbered, list[Path]]:
    """The files of a folder that have a channel number, by name and number, and those that have none."""
    numbered: _Numbered = {}
    strangers = []
    for path in sorted(
        path for path in folder.iterdir() if _ending(path) and path.name[0] != "." and not path.is_dir()
    ):
        found = re.fullmatch(r"(.+)_(\d{4})", path.name.removesuffix(_ending(path)))
        if found is not None and int(found[2]) < channels:
            numbered.setdefault(found[1], {}).setdefault(int(found[2]), []).append(path)
        else:
            strangers.append(path)
    return numbered, strangers


def _images(numbered: _Numbered, strangers: Sequence[Path]) -> tuple[ImageFiles, ...]:
    """Of several files for one channel the first counts."""
    return (
        *(ImageFiles(name, tuple(paths[0] for _, paths in sorted(of.items()))) for name, of in numbered.items()),
        *(ImageFiles(path.name.removesuffix(_ending(path)), (path,)) for path in strangers),
    )


def unlabelled_folders(folder: Path) -> tuple[Path, ...]:
    """The folders that the `unlabelled` of a dataset names; of any other folder itself.

    Raises:
        UserError: when its dataset.json is wrong or names none.
    """
    if not (folder / "dataset.json").is_file():
        return (folder,)
    declared = DatasetJson.load(folder / "dataset.json").unlabelled
    if not declared:
        raise UserError(
            f"{folder / 'dataset.json'} lists no folders under 'unlabelled'; list them there, or name the folders "
            "themselves with --unlabelled FOLDER."
        )
    return tuple(folder / name for name in declared)


def _ending(path: Path) -> str:
    """The known ending as it is written in the name; "" when it has none."""
    lower = path.name.lower()
    return next((path.name[-len(ending) :] for ending in ENDINGS if lower.endswith(ending)), "")
