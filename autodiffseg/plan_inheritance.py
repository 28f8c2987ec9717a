"""Inheritance of configurations in a plan file: a child writes what differs and has the rest from its parent."""

from __future__ import annotations

from typing import Any


def inherited(configurations: dict[str, Any]) -> dict[str, Any]:
    """Every configuration as written in a plan file, completed with what it inherits.

    A configuration with `inherits_from` has its parent's value for each key that it lacks; within `network` key by key.

    Raises:
        ValueError: when a parent does not exist or a configuration inherits from itself in the end.
    """

    def complete(name: str, heirs: tuple[str, ...]) -> Any:
        own = configurations[name]
        parent = own.get("inherits_from") if isinstance(own, dict) else None
        if not isinstance(parent, str):
            return own  # has none; a parent that is no name is refused with its key when the record is made
        if parent in (*heirs, name):
            raise ValueError(f"configuration '{name}' inherits from itself, by way of '{parent}'")
        if parent not in configurations:
            raise ValueError(f"configuration '{name}' inherits from '{parent}', which the plan lacks")
        return _overlay(complete(parent, (*heirs, name)), own)

    return {name: complete(name, ()) for name in configurations}


def own_part(own: dict[str, Any], parent: dict[str, Any]) -> dict[str, Any]:
    """What a configuration has to write so that with `parent` it is `own`: the inverse of `inherited`."""
    return {
        key: own_part(value, parent[key]) if isinstance(value, dict) and isinstance(parent.get(key), dict) else value
        for key, value in own.items()
        if key not in parent or value != parent[key]
    }


def _overlay(parent: Any, own: Any) -> Any:
    if not (isinstance(parent, dict) and isinstance(own, dict)):
        return own
    return {**parent, **{key: _overlay(parent.get(key), value) for key, value in own.items()}}
