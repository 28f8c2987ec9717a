"""Problem: one thing that is wrong with a dataset, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autodiffseg.errors import UserError

SHOWN = 30
"""Faults that one message lists at most."""


@dataclass(frozen=True)
class Problem:
    """One finding of the integrity check; `fatal` ones stop the work, the others are notes."""

    file: str
    """The file (relative to the dataset) or the place that is meant."""
    what: str
    cure: str
    fatal: bool = True

    def __str__(self) -> str:
        """The problem in one line."""
        return f"{self.file}: {self.what}; {self.cure}"


def gather_notes(problems: Iterable[Problem]) -> list[Problem]:
    """The same problems, but notes that say the same of many files become one; fatal problems stay apart."""
    gathered: list[Problem] = []
    notes: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        if problem.fatal:
            gathered.append(problem)
        else:
            notes.setdefault((problem.what, problem.cure), []).append(problem)
    for alike in notes.values():
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        gathered.append(replace(alike[0], file=alike[0].file + more))
    return gathered


def require_sound(problems: Sequence[Problem], dataset_folder: Path) -> None:
    """Refuse a dataset that has fatal problems.

    Raises:
        UserError: when there is a fatal problem; the text lists them one a line, 30 at most.
    """
    fatal = [problem for problem in problems if problem.fatal]
    if not fatal:
        return
    noun = "problem" if len(fatal) == 1 else "problems"
    lines = [f"{dataset_folder} has {len(fatal)} {noun}:", *(f"  {problem}" for problem in fatal[:SHOWN])]
    if len(fatal) > SHOWN:
        lines.append(f"  … and {len(fatal) - SHOWN} more")
    raise UserError("\n".join(lines))
