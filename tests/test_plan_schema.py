"""The published JSON schema: it is that of the records, accepts what they accept, and refuses what they refuse."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.errors import UserError
from autodiffseg.plan_schema import plan_schema, schema_text
from autodiffseg.plans import ConfigurationPlan, DiffusionPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.records import Record
from autodiffseg.workspace import Workspace

ROOT = Path(__file__).parents[1]
TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
    "number": (int, float),
}  # fmt: skip


def is_valid(value: Any, schema: Any, root: dict[str, Any]) -> bool:
    """A validator of the few words that our schema uses; a word that it does not know is an error."""
    if isinstance(schema, bool):
        return schema

    def fits(part: Any, item: Any = value) -> bool:
        return is_valid(item, part, root)

    def holds(word: str, given: Any) -> bool:
        match word:
            case "$schema" | "$defs" | "title" | "description" | "default" | "then" | "else":
                return True
            case "$ref":
                return fits(root["$defs"][given.removeprefix("#/$defs/")])
            case "type":
                return isinstance(value, TYPES[given]) and (given == "boolean" or not isinstance(value, bool))
            case "enum" | "const":
                return value in (given if word == "enum" else [given])
            case "anyOf":
                return any(fits(part) for part in given)
            case "if":
                return fits(schema["then"] if fits(given) else schema["else"])
            case "required":
                return all(key in value for key in given)
            case "properties":
                return all(fits(given[key], item) for key, item in value.items() if key in given)
            case "additionalProperties":
                return all(fits(given, item) for key, item in value.items() if key not in schema.get("properties", {}))
            case "items":
                return all(fits(given, item) for item in value)
            case "prefixItems":
                return all(fits(part, item) for part, item in zip(given, value, strict=False))
            case "minItems" | "minProperties" | "maxItems":
                return len(value) <= given if word == "maxItems" else len(value) >= given
            case "minimum" | "exclusiveMinimum":
                return value >= given if word == "minimum" else value > given
            case "maximum" | "exclusiveMaximum":
                return bool(value <= given if word == "maximum" else value < given)
        raise AssertionError(f"the schema uses '{word}', which this validator does not know")

    # The type first: what follows may then rely on it.
    words = sorted(schema.items(), key=lambda word: word[0] != "type")
    return all(holds(word, given) for word, given in words)


@pytest.fixture
def written(planned_phantom: Path) -> dict[str, Any]:
    """A plan file as the planner writes it."""
    path = Workspace(planned_phantom).plan_path("Dataset900_Phantom", "cpu")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def accepted(content: dict[str, Any]) -> tuple[bool, bool]:
    """By the schema, and by the records."""
    try:
        Plan.parse(json.dumps(content), source="plan")
    except UserError:
        return is_valid(content, plan_schema(), plan_schema()), False
    return is_valid(content, plan_schema(), plan_schema()), True


def test_the_published_schema_is_that_of_the_records() -> None:
    text = (ROOT / "docs" / "plan.schema.json").read_text(encoding="utf-8")
    assert text == schema_text(), "make schema writes it anew"


@pytest.mark.parametrize("record", [Plan, ConfigurationPlan, NetworkPlan, NormalisationPlan, DiffusionPlan])
def test_every_key_is_described(record: type[Record]) -> None:
    schema = plan_schema()
    properties = schema["$defs"].get(record.__name__, schema)["properties"]
    assert set(properties) == set(record.model_fields)
    assert [key for key, field in properties.items() if not field.get("description")] == []


def test_a_planned_file_and_one_with_heirs_are_accepted(written: dict[str, Any]) -> None:
    assert accepted(written) == (True, True)
    written["configurations"]["wide"] = {"inherits_from": "3d_fullres", "network": {"deep_supervision": True}}
    written["configurations"]["more"] = {"inherits_from": "wide", "batch_size": 3}
    assert accepted(written) == (True, True)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("iterations",), 0),
        (("schema_version",), 2),
        (("surname",), "x"),
        (("transpose",), [0, 1]),
        (("configurations", "3d_fullres", "spacing"), [1, 1, 0]),
        (("configurations", "3d_fullres", "inherits_from"), 3),
        (("configurations", "3d_fullres", "patchsize"), [8, 8, 8]),
        (("configurations", "3d_fullres", "network", "encoder"), "dense"),
        (("configurations", "3d_fullres", "normalisation"), [{"scheme": "minmax"}]),
        (("configurations", "mine"), {"inherits_from": "3d_fullres", "batchsize": 4}),
        (("configurations", "mine"), {"inherits_from": "3d_fullres", "network": {"widths": [4]}}),
        (("configurations", "mine"), {"inherits_from": None, "batch_size": 4}),
        (("diffusion", "beta_end"), 1.5),
        (("configurations", "3d_fullres", "batch_size"), 2**31),
    ],
)
def test_what_the_records_refuse_the_schema_refuses(
    written: dict[str, Any], place: tuple[str, ...], value: Any
) -> None:
    at = written
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = value
    assert accepted(written) == (False, False)


def test_a_configuration_without_a_parent_needs_every_key_that_has_no_default(written: dict[str, Any]) -> None:
    required = [name for name, field in ConfigurationPlan.model_fields.items() if field.is_required()]
    for key in required:
        content = copy.deepcopy(written)
        del content["configurations"]["3d_fullres"][key]
        assert accepted(content) == (False, False)
