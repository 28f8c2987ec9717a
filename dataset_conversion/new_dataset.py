"""Where a converter writes: a new raw dataset folder that appears whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autodiffseg.atomic import atomic_folder, write_json
from autodiffseg.errors import UserError

NAME = re.compile(r"Dataset\d{3}_\w[\w-]*")


def dataset_folder(out: Path, number: int, name: str) -> Path:
    """`OUT/Dataset004_Name`, or OUT itself when it is called like a dataset.

    Raises:
        UserError: when the number has more than three digits or the name cannot name a folder.
    """
    if NAME.fullmatch(out.name):
        return out
    folder = f"Dataset{number:03d}_{name}"
    if not NAME.fullmatch(folder):
        raise UserError(f"'{folder}' cannot name a dataset; use a number up to 999 and letters, digits, '_' and '-'.")
    return out / folder


def refuse_existing(folder: Path) -> None:
    """Refuse to write onto something.

    Raises:
        UserError: when `folder` is there and not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already; remove it or name another folder.")


@contextmanager
def new_dataset(folder: Path, dataset_json: dict[str, Any]) -> Iterator[Path]:
    """Hand out a temporary folder to fill; it becomes `folder` with its dataset.json when the block succeeds.

    Raises:
        UserError: when `folder` exists already or cannot be written.
    """
    refuse_existing(folder)
    try:
        with atomic_folder(folder) as temporary:
            yield temporary
            write_json(temporary / "dataset.json", dataset_json)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error}.") from error
