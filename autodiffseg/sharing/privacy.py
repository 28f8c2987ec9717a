"""Taking paths out of records: a shared model tells nothing of the folders of the machine that made it."""

from __future__ import annotations

import re
import shlex
from typing import Any

_ABSOLUTE = re.compile(r"(?:~|[A-Za-z]:)?[\\/].*|\\\\.*", flags=re.DOTALL)
_SEPARATOR = re.compile(r"[\\/]")


def without_paths(value: Any) -> Any:
    """Parsed JSON in which every text that is an absolute path has become its last part."""
    if isinstance(value, dict):
        return {key: without_paths(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(part) for part in value]
    return last_part(value) if isinstance(value, str) and _ABSOLUTE.fullmatch(value) else value


def command_without_paths(command: str) -> str:
    """A command line in which every argument that is a path, or `--option=path`, keeps its last part alone."""
    try:
        words = shlex.split(command)
    except ValueError:  # an open quotation mark: nothing that we wrote
        return ""
    return shlex.join(_word(word) for word in words)


def last_part(path: str) -> str:
    """The name at the end of a path of any system."""
    return next((part for part in reversed(_SEPARATOR.split(path)) if part), "")


def _word(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return option + equals + (last_part(value) if _SEPARATOR.search(value) else value)
