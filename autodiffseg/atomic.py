"""Atomic writing: a file appears whole or not at all."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Hand out a temporary path beside `path`; move it to `path` when the block succeeds, else remove it.

    The temporary name keeps the ending of `path`, since image writers choose their format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Hand out an empty temporary folder beside `path`; rename it to `path` when the block succeeds, else remove it.

    Raises:
        FileExistsError: when `path` is there already (an empty folder may be); nothing is overwritten.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{secrets.token_hex(4)}-{path.name}")
    temporary.mkdir()
    try:
        yield temporary
        if path.is_dir():
            path.rmdir()  # Windows renames onto no folder, not even an empty one
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, in UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")
