"""Hashes of files; where they are remembered, what has kept its size and time of change is not read again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from autodiffseg.errors import UserError
from autodiffseg.records import Record


class HashedFile(Record):
    """A file as it was when it was read."""

    size: int
    """Bytes."""
    modified: int
    """Nanoseconds since 1970."""
    digest: str


class HashedFiles(Record):
    """What was read, so that unchanged files need not be read again."""

    files: dict[str, HashedFile]
    """Absolute path -> its state."""


def hash_of_bytes(path: Path) -> str:
    """Of all bytes of a file: 128 bits of BLAKE2b, in hexadecimal.

    Raises:
        OSError: when it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def hash_of_text(text: str) -> str:
    """As `hash_of_bytes`, of its UTF-8."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def hash_cases(cases: Mapping[str, tuple[Path, ...]], *, threads: int) -> dict[str, str]:
    """Case -> hash of the bytes of its files in their order, wherever they lie and whatever they are called.

    Raises:
        UserError: when a file cannot be read.
    """
    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(cases, pool.map(_hash_together, cases.values()), strict=True))


def _hash_together(paths: tuple[Path, ...]) -> str:
    try:
        return hash_of_text(" ".join(map(hash_of_bytes, paths)))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}.") from error


def sha256_of(path: Path) -> str:
    """Of all bytes of a file: SHA-256, in hexadecimal, for what others than we may want to check.

    Raises:
        OSError: when it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(
    paths: Iterable[Path],
    cache: Path,
    *,
    threads: int,
    digest: Callable[[Path], str] = hash_of_bytes,
    unreadable: dict[Path, str] | None = None,
) -> dict[Path, str]:
    """The hash of each file, in the order given.

    Args:
        paths: the files.
        cache: the hashes of the last call; those of this call replace them.
        threads: how many files are read at a time.
        digest: what is computed of a file that is new or has changed.
        unreadable: if given, files that cannot be read are put here (path -> why) instead of being refused.

    Raises:
        UserError: when a file cannot be read.
    """
    known = _known(cache)
    with ThreadPoolExecutor(threads) as pool:  # hashing and reading release the interpreter
        states = list(pool.map(partial(_hash_file, known=known, digest=digest), given := list(paths)))
    found: dict[Path, HashedFile] = {}
    for path, state in zip(given, states, strict=True):
        if isinstance(state, HashedFile):
            found[path] = state
        elif unreadable is None:
            raise UserError(f"{path} {state}.")
        else:
            unreadable[path] = state
    remembered = {str(path.absolute()): state for path, state in found.items()}
    if remembered != known:
        HashedFiles(files=remembered).save(cache)
    return {path: state.digest for path, state in found.items()}


def _known(cache: Path) -> dict[str, HashedFile]:
    try:
        return HashedFiles.load(cache).files
    except UserError:  # missing or damaged: every file is read again
        return {}


def _hash_file(path: Path, known: dict[str, HashedFile], digest: Callable[[Path], str]) -> HashedFile | str:
    """The state of a file, or why it cannot be read."""
    try:
        status = path.stat()
        before = known.get(str(path.absolute()))  # the same words may name another file tomorrow
        if before is not None and (before.size, before.modified) == (status.st_size, status.st_mtime_ns):
            return before
        return HashedFile(size=status.st_size, modified=status.st_mtime_ns, digest=digest(path))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
