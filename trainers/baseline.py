"""Which of several rows the others are tested against."""

from __future__ import annotations

from collections.abc import Sequence

from autodiffseg.errors import UserError


def choose_baseline(names: Sequence[str], asked: str | None) -> str:
    """The row that is asked for, by its name or the first words of it; else supervised, else the first.

    Raises:
        UserError: when no row, or more than one, begins so.
    """
    if asked is None:
        return next((name for name in names if name.startswith("supervised")), names[0])
    found = [name for name in names if name == asked] or [name for name in names if name.startswith(f"{asked} ")]
    if len(found) != 1:
        what = "is not among" if not found else "may be any of"
        raise UserError(f"Baseline '{asked}' {what} {', '.join(found or names)}.")
    return found[0]
