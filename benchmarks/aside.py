"""Setting the output of a run aside, so that the next one begins with an empty folder and nothing is removed."""

from __future__ import annotations

import itertools
from pathlib import Path


def set_aside(folder: Path) -> None:
    """Rename `folder`, if it is there, to a free name beside it."""
    if folder.exists():
        names = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(1))
        folder.rename(next(name for name in names if not name.exists()))
