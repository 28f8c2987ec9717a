"""Commands and trainers by name, through entry points: how the wings meet without importing each other."""

from __future__ import annotations

import difflib
import importlib
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from autodiffseg.errors import UserError

COMMANDS = "autodiffseg.commands"
TRAINERS = "autodiffseg.trainers"
SERVICES = "autodiffseg.services"
"""What a wing does for the ground's Python interface."""
ENSEMBLES = "autodiffseg.ensembles"
"""Names that stand for several trainers; `train` and its like take them as they take trainers."""


def known(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name.

    Raises:
        UserError: when two installed packages announce the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if point.name in found and found[point.name].value != point.value:
            raise UserError(f"'{point.name}' is announced twice in {group}: {found[point.name].value}, {point.value}.")
        found[point.name] = point
    return found


def load(group: str, name: str) -> Any:
    """The object called `name` in a group; `package.module:Name` is imported as it stands.

    Raises:
        UserError: when nothing is called so; the message gives the nearest known name and all of them.
    """
    points = known(group)
    if name in points:
        return points[name].load()
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(f"'{name}' cannot be imported: {error}.") from error
    raise UserError(unknown("name", name, list(points)) + " A class of your own is named package.module:Class.")


def unknown(kind: str, name: str, names: list[str]) -> str:
    """The sentence that refuses an unknown name and gives the nearest known one."""
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"Unknown {kind} '{name}'.{hint} Known: {', '.join(sorted(names))}."
