"""Whether the raw files are still those that were looked at: a hash over their contents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.records import Record


class HashedFile(Record):
    """A file as it was when it was read."""

    size: int
    """Bytes."""
    modified: int
    """Nanoseconds since 1970."""
    digest: str


class RawFiles(Record):
    """raw_files.json: what was read, so that unchanged files need not be read again."""

    files: dict[str, HashedFile]
    """Path as the dataset gives it -> its state."""


def hash_raw(dataset: RawDataset, cache: Path, *, threads: int) -> str:
    """A hash over labels, channels, case ids and the bytes of every training file.

    A file whose size and time of change are those of the last call is taken from `cache`, which is written anew.

    Raises:
        UserError: when a file cannot be read.
    """
    known = _known(cache)
    files = [(case, path.name, path) for case in dataset.cases for path in (*dataset.images(case), dataset.label(case))]
    for case in dataset.cases:
        files += [(case, f"{who}/{path.name}", path) for who, path in dataset.annotations(case).items()]
    with ThreadPoolExecutor(threads) as pool:  # hashing and reading release the interpreter
        states = list(pool.map(lambda item: _hash_file(item[2], known), files))
    found = {str(path): state for (_, _, path), state in zip(files, states, strict=True)}
    if found != known:
        RawFiles(files=found).save(cache)
    return _combine(dataset, ((case, name, found[str(path)].digest) for case, name, path in files))


def _known(cache: Path) -> dict[str, HashedFile]:
    try:
        return RawFiles.load(cache).files
    except UserError:  # missing or damaged: every file is read again
        return {}


def _hash_file(path: Path, known: dict[str, HashedFile]) -> HashedFile:
    try:
        status = path.stat()
        before = known.get(str(path))
        if before is not None and (before.size, before.modified) == (status.st_size, status.st_mtime_ns):
            return before
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    return HashedFile(size=status.st_size, modified=status.st_mtime_ns, digest=digest)


def _combine(dataset: RawDataset, entries: Iterable[tuple[str, str, str]]) -> str:
    spec = dataset.spec.model_dump(mode="json")
    text = json.dumps([spec, dataset.json.channels, sorted(entries)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
