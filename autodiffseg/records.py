"""Record: the frozen, validated base of everything that crosses a stage as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from autodiffseg.atomic import write_text
from autodiffseg.errors import UserError


class Record(BaseModel):
    """A frozen record with a JSON round trip; unknown keys are refused, so that a typo is never silent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the record from a JSON file.

        Raises:
            UserError: when the file is missing, is not JSON, or a key is wrong; the message names file and key.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise UserError(f"{path} does not exist.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read: {error}.") from error
        return cls.parse(text, source=str(path))

    @classmethod
    def parse(cls, text: str, *, source: str) -> Self:
        """Read the record from JSON text; `source` is what error messages call it.

        Raises:
            UserError: when the text is not JSON or a key is wrong.
        """
        try:
            return cls.model_validate(json.loads(text))
        except json.JSONDecodeError as error:
            raise UserError(f"{source} is not valid JSON: {error}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "(top level)"
            raise UserError(f"{source}: key '{key}': {first['msg']} (got {first['input']!r:.80}).") from error

    def save(self, path: Path) -> None:
        """Write the record to a JSON file, atomically."""
        write_text(path, self.model_dump_json(indent=2) + "\n")
