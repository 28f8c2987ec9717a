"""What to do with a plan that is already there: neither an edit nor a configuration of one's own is lost silently."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.plans import Plan
from autodiffseg.records import read_json, read_text

from .configuration_names import CONFIGURATIONS


class Choice(NamedTuple):
    """The plan to go on with."""

    plan: Plan
    is_planned: bool
    """Whether it is, but for its owner's configurations, what is planned now."""
    text: str | None
    """What to write into its file; None where that is right as it is."""
    note: str
    """A line for the user; "" when there is nothing to tell."""


def choose_plan(
    path: Path, planned: Plan, *, before: Plan | None, overwrite: bool, asked: Sequence[str] = ()
) -> Choice:
    """Keep the plan file or replace it.

    Configurations that planning does not make are their owner's: they are carried over into a new plan as they are
    written, so that one with `inherits_from` follows its new parent, and having them is no edit.

    Args:
        path: of the plan file, which may not exist.
        planned: what the planner makes of the dataset now.
        before: what the planner makes of the last fingerprint, when the raw data have changed since; a plan file that
            equals it was never edited and is replaced.
        overwrite: the user wants the plan of now.
        asked: options that shape the plan and were given; keeping another plan would pass over them.

    Raises:
        UserError: when the plan file was made for other raw data and may be edited, when it is not what was asked for,
            or when a configuration in it does not fit the new plan.
    """
    if not path.is_file():
        return Choice(planned, True, planned.model_dump_json(indent=2) + "\n", "")
    own = _own_configurations(read_json(read_text(path), source=str(path)), planned, path)
    if overwrite:
        return _renewed(path, planned, own, "")
    existing = Plan.load(path).model_copy(update={"name": path.stem})  # a copied file is called by its own name
    without_own = existing.model_copy(
        update={"configurations": {name: one for name, one in existing.configurations.items() if name not in own}}
    )
    if without_own == planned:
        return Choice(existing, True, None, "")
    if without_own == before:
        return _renewed(path, planned, own, "The raw data have changed: the plan is made anew. ")
    if existing.fingerprint_hash != planned.fingerprint_hash:
        raise UserError(
            f"{path} was made for other raw data than there are now and may be edited; --overwrite plans anew, "
            f"--name gives the new plan a name of its own, --plan-from {path} takes it over as it is."
        )
    # A preset is also what a plan is called by: it was passed over only if the plan was made with another.
    passed_over = [option for option in asked if option != "--preset" or existing.preset != planned.preset]
    if passed_over:
        raise UserError(
            f"{path} is there already and differs from what {' and '.join(passed_over)} would give; --name gives the "
            "new plan a name of its own, --overwrite replaces the one that is there, and without such options it is "
            "kept."
        )
    return Choice(
        existing,
        False,
        None,
        f"{path} differs from what would be planned now (edited, or made by another version or preset): it is kept. "
        "--overwrite replaces it.",
    )


def _own_configurations(content: object, planned: Plan, path: Path) -> dict[str, Any]:
    """The owner's configurations as they are written; the rest of the file may be of any version."""
    if not isinstance(content, dict) or not isinstance(content.get("configurations", {}), dict):
        raise UserError(f"{path} is no plan; mend or delete it.")
    makes = {*CONFIGURATIONS, *planned.configurations}
    return {name: one for name, one in content.get("configurations", {}).items() if name not in makes}


def _renewed(path: Path, planned: Plan, own: dict[str, Any], note: str) -> Choice:
    """`planned` with the owner's configurations."""
    content = planned.model_dump(mode="json")
    content["configurations"] |= own
    try:
        plan = Plan.check(content, source=f"{path}: its own configurations do not fit the new plan")
    except UserError as error:
        raise UserError(f"{error} Change or remove it there, or give the new plan a --name of its own.") from error
    if own:
        note += f"Its own configurations are kept: {', '.join(own)}."
    return Choice(plan, True, json.dumps(content, indent=2, ensure_ascii=False) + "\n", note.strip())
