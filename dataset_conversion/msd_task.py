"""A Decathlon task as it is downloaded: its folder or archive, its dataset.json and the files that this names."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ConfigDict

from autodiffseg.errors import UserError
from autodiffseg.records import Record

ENDING = ".nii.gz"
Take = Callable[[Path, Path], object]
"""Copies or moves a file to a new path."""


class Pair(Record):
    """A training case in a Decathlon dataset.json."""

    image: str
    label: str


class MsdTask(Record):
    """A Decathlon dataset.json, as far as it is needed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = ""
    description: str = ""
    reference: str = ""
    licence: str = ""
    release: str = ""
    modality: dict[int, str]
    labels: dict[int, str]
    training: tuple[Pair, ...]
    test: tuple[str, ...] = ()


def task_name(source: Path, number: int | None) -> tuple[int, str]:
    """Number and name from `Task04_Hippocampus` or `Task04_Hippocampus.tar`; a given `number` comes first.

    Raises:
        UserError: when the source is called otherwise.
    """
    found = re.fullmatch(r"Task(\d+)_([\w-]+?)(\.tar(\.gz)?|\.tgz)?", source.resolve().name)
    if found is None:
        raise UserError(f"'{source.name}' is not called like a Decathlon task (Task04_Hippocampus); rename it so.")
    return int(found.group(1)) if number is None else number, found.group(2)


@contextmanager
def opened_task(source: Path, beside: Path) -> Iterator[tuple[Path, Take]]:
    """The folder with dataset.json, and how to take a file from it: copy, or move what came out of an archive.

    Args:
        source: a task folder or a tar archive of one.
        beside: where an archive is unpacked for the time being; on the disk that the result will lie on.

    Raises:
        UserError: when the archive is damaged, unsafe or no Decathlon task.
    """
    if source.is_dir():
        yield source, shutil.copyfile
        return
    try:
        beside.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".tmp-", dir=beside)
    except OSError as error:
        raise UserError(f"{beside} cannot be written: {error}.") from error
    with scratch:
        _unpack(source, Path(scratch.name))
        found = sorted(path.parent for path in Path(scratch.name).glob("**/dataset.json"))
        if len(found) != 1:
            raise UserError(f"{source} holds {len(found)} dataset.json files; a Decathlon task has one.")
        yield found[0], os.replace


def task_file(root: Path, name: str) -> Path:
    """The file that dataset.json calls `name`.

    Raises:
        UserError: when it would lie outside the task or is no .nii.gz.
    """
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{root / 'dataset.json'} names '{name}', which lies outside the task; correct it.")
    if not path.name.endswith(ENDING):
        raise UserError(f"{root / 'dataset.json'} names '{name}', which is no {ENDING} file; is this a Decathlon task?")
    return path


def require_files(paths: Sequence[Path], source: Path) -> None:
    """Refuse a task that lacks files.

    Raises:
        UserError: when files are missing; the message names ten of them.
    """
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        shown = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
        raise UserError(
            f"{source} lacks {len(missing)} files that its dataset.json names ({shown}); download it again."
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack; the "data" filter refuses members that would leave the folder."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except tarfile.FilterError as error:
        raise UserError(f"{archive} is not safe to unpack: {error}.") from error
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"{archive} cannot be unpacked: {error}; download it again.") from error
