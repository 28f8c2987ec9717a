"""Options that take several values one after the other, as in `--n-labelled 1 3 6`; repeated options are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from typer.core import TyperCommand

Command = TypeVar("Command", bound=Callable[..., Any])
MARK = "_options_with_several_values"


def several_values(*options: str) -> Callable[[Command], Command]:
    """Mark a command's function: these list options take all values that follow, up to the next option.

    What has no option's name of its own must therefore stand before them.
    """

    def mark(command: Command) -> Command:
        setattr(command, MARK, options)
        return command

    return mark


def command_class(command: Callable[..., Any]) -> type[TyperCommand]:
    """The class that parses the command line of a command."""
    options: tuple[str, ...] = getattr(command, MARK, ())

    class WithSeveralValues(TyperCommand):
        several_values = options

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            return super().parse_args(ctx, repeated(args, options))

    return WithSeveralValues if options else TyperCommand


def repeated(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """A command line in which each of several values stands behind an option of its own."""
    spread: list[str] = []
    current = ""
    for place, word in enumerate(arguments):
        if word.startswith("-"):
            current = word if word in options else ""
        elif current and arguments[place - 1] != current:
            spread.append(current)
        spread.append(word)
    return spread
