"""Unpacking a model from a zip file that may come from anybody: everything is checked, then it appears at once."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from autodiffseg.byte_sizes import shown_bytes
from autodiffseg.checkpoint_file import LAST, read_checkpoint
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import SUMMARY, load_summary
from autodiffseg.plans import Plan
from autodiffseg.postprocessing.record import FILE as POSTPROCESSING
from autodiffseg.postprocessing.record import Postprocessing
from autodiffseg.runs import RECORD, RunRecord, fold_folder, fold_records
from autodiffseg.sharing import manifest
from autodiffseg.sharing.manifest import Manifest, is_known_file, is_safe_name

MOST_ENTRIES = 2000
MOST_EXPANSION = 100
"""Text shrinks to a tenth and weights hardly; what grows more when it is unpacked wants to fill the disk."""
SMALL = 2**20
"""Bytes that may come out of any file."""
BLOCK = 2**20


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file whose names, kinds and sizes are those of an exported model.

    Raises:
        UserError: when it cannot be read, or anything in it is not what `export-model` writes.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist or is no file; name the zip file of a model.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(path, archive.infolist())
            yield archive
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise UserError(f"{path} is no zip file that can be read ({error}); copy it again.") from error


def read_manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    """What the archive says it holds.

    Raises:
        UserError: when it says nothing, or something else than what there is.
    """
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    if manifest.FILE not in sizes:
        raise UserError(f"{path} holds no {manifest.FILE}; it was not made by `autodiffseg export-model`.")
    with archive.open(manifest.FILE) as file:
        text = _at_most(file, sizes[manifest.FILE], f"{path}, {manifest.FILE}")
    record = Manifest.parse(text.decode("utf-8", errors="replace"), source=f"{path}, {manifest.FILE}")
    listed = {name: file.bytes for name, file in record.files.items()}
    found = {name: size for name, size in sizes.items() if name != manifest.FILE}
    if listed != found:
        odd = sorted(name for name in {*listed, *found} if listed.get(name) != found.get(name))[0]
        raise UserError(f"{path}: '{odd}' is not as {manifest.FILE} lists it; the file was changed, ask for it again.")
    folders = {name.partition("/")[0] for name in found if "/" in name}
    if folders != {*record.models, *record.needed}:
        raise UserError(f"{path}: its folders are not the models that {manifest.FILE} names; ask for it again.")
    return record


def unpack(path: Path, archive: zipfile.ZipFile, record: Manifest, results: Path) -> list[Path]:
    """Put the models into `results`; nothing is there when anything fails.

    Returns:
        The folders of the models that predict is to be given.

    Raises:
        UserError: when a model of that name is there, the disk is too small, or a file is damaged or no record of ours.
    """
    names = [*record.models, *record.needed]
    for name in names:
        if os.path.lexists(results / name):
            raise UserError(f"{results / name} exists and is not overwritten; remove it, or import elsewhere with -o.")
    needed = sum(file.bytes for file in record.files.values())
    existing = next(folder for folder in (results, *results.absolute().parents) if folder.is_dir())
    if needed > (free := shutil.disk_usage(existing).free):
        raise UserError(f"{results} has {shown_bytes(free)} free and the model needs {shown_bytes(needed)}; free some.")
    results.mkdir(parents=True, exist_ok=True)
    staging = results / f".tmp-{secrets.token_hex(4)}"
    staging.mkdir()
    try:
        for name, file in record.files.items():
            _extract(archive, name, staging, file.bytes, file.sha256, path)
        for name in names:
            _check_model(staging / name, path, record)
        _appear({staging / name: results / name for name in names}, staging / manifest.CARD)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return [results / name for name in record.models]


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse what no exported model has; from here on names can be trusted to lie inside of a folder."""
    if len(entries) > MOST_ENTRIES:
        raise UserError(f"{path} holds {len(entries)} files; an exported model has {MOST_ENTRIES} at most.")
    seen: set[str] = set()
    for info in entries:
        shown = f"{path}: '{info.filename!s:.80}'"
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise UserError(f"{shown} is a link or no plain file; no exported model has such. Nothing was imported.")
        if not is_known_file(info.filename) or info.filename != info.orig_filename:
            raise UserError(f"{shown} is no file of an exported model. Nothing was imported.")
        if info.filename.casefold() in seen:
            raise UserError(f"{shown} is in it twice. Nothing was imported.")
        if info.flag_bits & 1:
            raise UserError(f"{shown} is encrypted; ask for a file without a password.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f"{shown} is compressed in another way than export-model does. Nothing was imported.")
        seen.add(info.filename.casefold())
        if info.file_size > max(SMALL, MOST_EXPANSION * info.compress_size):
            raise UserError(
                f"{shown} would grow from {info.compress_size} to {info.file_size} bytes; no file of a model does. "
                "Nothing was imported."
            )
    packed, size = sum(info.compress_size for info in entries), path.stat().st_size
    if packed > size:  # files that share their bytes
        raise UserError(f"{path} has {size} bytes and says to hold {packed}; no model does. Nothing was imported.")


def _extract(archive: zipfile.ZipFile, name: str, staging: Path, size: int, sha256: str, path: Path) -> None:
    """Write one file; not a byte more than is declared."""
    target = staging.joinpath(*name.split("/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, written = hashlib.sha256(), 0
    with archive.open(name) as source, target.open("xb") as file:
        while block := source.read(BLOCK):
            written += len(block)
            if written > size:
                break
            digest.update(block)
            file.write(block)
    if written != size or digest.hexdigest() != sha256:
        raise UserError(f"{path}: '{name}' is damaged or was changed; ask for the file again.")


def _at_most(file: IO[bytes], size: int, source: str) -> bytes:
    content = file.read(min(size, SMALL) + 1)
    if len(content) > min(size, SMALL):
        raise UserError(f"{source} is larger than it says. Nothing was imported.")
    return content


def _check_model(folder: Path, path: Path, told: Manifest) -> None:
    """Read every file as what it is to be: records are validated, weights are loaded without executing anything.

    A trainer is imported by its name when it predicts, so the user must have been told of each: by `told`, the
    model.json.
    """
    try:
        records: Mapping[str, RunRecord] = fold_records(folder)
        if not records:
            raise UserError(f"{folder.name} has no fold_*/{RECORD}.")
        Plan.load(folder / "plan.json")
        DatasetJson.load(folder / "dataset.json")
        if (folder / POSTPROCESSING).is_file():
            Postprocessing.load(folder / POSTPROCESSING)
        for summary in folder.rglob(SUMMARY):
            load_summary(summary)
        for fold, record in records.items():
            if (record.dataset, record.fold) != (told.dataset, fold):
                raise UserError(f"{folder.name}/fold_{fold}/{RECORD} is of another fold or dataset.")
            if record.trainer not in told.trainers:
                raise UserError(
                    f"{folder.name} is of the trainer {record.trainer:.80}, of which {manifest.FILE} says nothing."
                )
            for needed in (*record.members, *([record.previous_run] if record.previous_run else [])):
                if not is_safe_name(needed) or not (folder.parent / needed).is_dir():
                    raise UserError(f"{folder.name} needs the model {needed:.80}, which is not in the file.")
            if not record.members:
                path_of_weights = fold_folder(folder, fold) / LAST
                _require_plain(path_of_weights)
                content = read_checkpoint(path_of_weights)
                if content["trainer"] != record.trainer:
                    raise UserError(f"{path_of_weights} is of another trainer than its {RECORD}.")
                Plan.parse(content["plan"], source=f"{path_of_weights}, plan")
                DatasetJson.parse(content["dataset"], source=f"{path_of_weights}, dataset")
    except (UserError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        reason = str(error).replace(f"{folder.parent}{os.sep}", "")
        raise UserError(f"{path} holds no sound model: {reason}") from error


def _require_plain(path: Path) -> None:
    """Refuse weights that grow when they are read: a checkpoint is a zip file itself, in which all is stored plain."""
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is missing, or no checkpoint.")
    with zipfile.ZipFile(path) as inside:
        entries = inside.infolist()
    grown = sum(info.file_size for info in entries) > path.stat().st_size
    if grown or any(info.compress_type != zipfile.ZIP_STORED for info in entries):
        raise UserError(f"{path} is compressed, which no checkpoint is.")


def _appear(moves: dict[Path, Path], card: Path) -> None:
    """Give every model its place; those that are there already go back when a later one cannot have its own."""
    done: list[Path] = []
    try:
        for source, target in moves.items():
            if card.is_file():
                shutil.copyfile(card, source / card.name)
            if os.path.lexists(target):  # since it was looked at
                raise UserError(f"{target} exists and is not overwritten; remove it, or import elsewhere with -o.")
            source.rename(target)
            done.append(target)
    except BaseException:
        for target in done:
            shutil.rmtree(target, ignore_errors=True)
        raise
