"""The command line that is running, for the records that say how a result came about."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_arguments: ContextVar[tuple[str, ...]] = ContextVar("arguments", default=())


@contextmanager
def invoked_with(arguments: list[str]) -> Iterator[None]:
    """Remember the arguments of a command while it runs."""
    token = _arguments.set(tuple(arguments))
    try:
        yield
    finally:
        _arguments.reset(token)


def command_line() -> str:
    """The command as a user would type it; "" when the library was called from Python."""
    arguments = _arguments.get()
    return shlex.join(["autodiffseg", *arguments]) if arguments else ""
