"""One clear line for what is wrong with a record: the key, the rule, and the value or the nearest known key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

OWN_RULE = "Value error, "
"""What pydantic puts before the messages of our own validators."""

JSON_WORDS = {
    "dict_type": "Input should be an object with keys",
    "model_type": "Input should be an object with keys",
    "tuple_type": "Input should be a list",
}
"""Kind of an error -> what to say of it to who writes JSON and has never heard of tuples and models."""

TYPE_LABEL = re.compile(r"\[key\]|(constrained-)?(int|str|float|bool)|(tuple|list|dict|function-.*)\[.*\]")


def explain(record: type[BaseModel], error: ValidationError) -> str:
    """One error in one line: an unknown key before others, since a misspelt key is also a missing one.

    A rule between several keys says itself what it saw; any other value is shown, cut short.

    Args:
        record: what was to be read.
        error: what pydantic says.
    """
    errors = error.errors(include_url=False)
    first = next((each for each in errors if each["type"] == "extra_forbidden"), _nearest_to_right(errors))
    place = [str(part) for part in first["loc"] if not _is_label(part)]
    key = f"key '{'.'.join(place)}'"
    if first["type"] == "extra_forbidden":
        known = _known_keys(record, first["loc"][:-1])
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}."
        return f"{key} is unknown; {hint}"
    if first["type"] == "missing":
        return f"{key} is missing."
    message = JSON_WORDS.get(first["type"], first["msg"].removeprefix(OWN_RULE))
    value = first["input"]
    shown = "" if first["msg"].startswith(OWN_RULE) else f" (got {value!r:.80})"
    return f"{key}: {message}{shown}." if place else f"{message}{shown}."


def _nearest_to_right(errors: Sequence[ErrorDetails]) -> ErrorDetails:
    """The first error; where a key may be of several types, that of the type which fits farthest."""
    first = errors[0]
    depth = next((at for at, part in enumerate(first["loc"]) if _is_label(part)), len(first["loc"]))
    same_key = [each for each in errors if each["loc"][:depth] == first["loc"][:depth]]
    return max(same_key, key=lambda each: len(each["loc"]))


def _is_label(part: int | str) -> bool:
    """Whether a part of an error's place is no key: pydantic puts the type there that it tried."""
    return isinstance(part, str) and TYPE_LABEL.fullmatch(part) is not None


def _known_keys(record: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys that the record at `place` may have."""
    at: Any = record
    for part in place:
        if _is_record(at):
            at = {field.alias or name: field.annotation for name, field in at.model_fields.items()}.get(str(part))
        elif get_origin(at) is dict:
            at = get_args(at)[1]
        elif get_origin(at) is tuple:
            at = get_args(at)[0]
        at = next((choice for choice in get_args(at) if _is_record(choice)), at) if _is_union(at) else at
    return [field.alias or name for name, field in at.model_fields.items()] if _is_record(at) else []


def _is_record(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)
