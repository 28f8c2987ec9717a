"""The JSON schema of a plan file, made from the records; `python -m autodiffseg.plan_schema FILE` writes it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema

from autodiffseg.atomic import write_text
from autodiffseg.plans import Plan

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def plan_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of `plans/NAME.json`.

    Descriptions are the docstrings of the records' attributes. A configuration with `inherits_from` needs no other
    key, and its network none at all: `$defs` has both forms of each.
    """
    schema = Plan.model_json_schema(schema_generator=_WithoutFieldTitles)
    kinds = schema["$defs"]
    heir = _without_requirements(kinds["ConfigurationPlan"])
    heir["properties"]["network"] = {"$ref": "#/$defs/InheritingNetwork"}
    kinds["InheritingConfiguration"] = {
        **heir,
        "title": "InheritingConfiguration",
        "required": ["inherits_from"],
        "description": "What a configuration has otherwise than the one that it inherits from.",
    }
    kinds["InheritingNetwork"] = {
        **_without_requirements(kinds["NetworkPlan"]),
        "title": "InheritingNetwork",
        "description": "What a network has otherwise than that of the configuration that is inherited from.",
    }
    schema["properties"]["configurations"]["additionalProperties"] = {
        "if": {"required": ["inherits_from"], "properties": {"inherits_from": {"type": "string"}}},
        "then": {"$ref": "#/$defs/InheritingConfiguration"},
        "else": {"$ref": "#/$defs/ConfigurationPlan"},
    }
    return {"$schema": DIALECT, **schema, "title": "autodiffseg plan"}


def schema_text() -> str:
    """The schema as `docs/plan.schema.json` has it."""
    return json.dumps(plan_schema(), indent=2, ensure_ascii=False) + "\n"


class _WithoutFieldTitles(GenerateJsonSchema):
    """A title that only repeats the key says nothing."""

    def field_title_should_be_set(self, schema: CoreSchema) -> bool:
        """Never."""
        return False


def _without_requirements(kind: dict[str, Any]) -> dict[str, Any]:
    """A copy of an object's schema in which every key may be left out and nothing stands for one that is."""
    properties = {
        name: {key: value for key, value in field.items() if key != "default"}
        for name, field in kind["properties"].items()
    }
    return {**{key: value for key, value in kind.items() if key != "required"}, "properties": properties}


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), schema_text())
