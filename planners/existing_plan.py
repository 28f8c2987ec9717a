"""What to do with a plan that is already there: an edited one is never lost silently."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.plans import Plan


class Choice(NamedTuple):
    """The plan to go on with."""

    plan: Plan
    write: bool
    """Whether it has to be written."""
    note: str
    """A line for the user; "" when there is nothing to tell."""


def choose_plan(path: Path, planned: Plan, *, before: Plan | None, overwrite: bool) -> Choice:
    """Keep the plan file or replace it.

    Args:
        path: of the plan file, which may not exist.
        planned: what the planner makes of the dataset now.
        before: what the planner makes of the last fingerprint, when the raw data have changed since; a plan file that
            equals it was never edited and is replaced.
        overwrite: the user wants the plan of now.

    Raises:
        UserError: when the plan file was made for other raw data and may be edited.
    """
    if not path.is_file() or overwrite:
        return Choice(planned, True, "")
    existing = Plan.load(path)
    if existing == planned:
        return Choice(existing, False, "")
    if existing == before:
        return Choice(planned, True, "The raw data have changed: the plan is made anew.")
    if existing.fingerprint_hash != planned.fingerprint_hash:
        raise UserError(
            f"{path} was made for other raw data than there are now and may be edited; --overwrite plans anew, "
            "--name gives the new plan a name of its own."
        )
    return Choice(
        existing,
        False,
        f"{path} differs from what would be planned now (edited, or made by another version or preset): it is kept. "
        "--overwrite replaces it.",
    )
