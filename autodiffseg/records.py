"""Record: the frozen, validated base of everything that crosses a stage as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from autodiffseg.atomic import write_text
from autodiffseg.errors import UserError
from autodiffseg.record_errors import explain


class Record(BaseModel):
    """A frozen record with a JSON round trip; unknown keys are refused, so that a typo is never silent."""

    # The docstrings of attributes are the descriptions of the published JSON schema. JSON has no infinity and no NaN:
    # they would be written as null, which cannot be read again.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the record from a JSON file.

        Raises:
            UserError: when the file is missing, is not JSON, or a key is wrong; the message names file and key.
        """
        return cls.parse(read_text(path), source=str(path))

    @classmethod
    def parse(cls, text: str, *, source: str) -> Self:
        """Read the record from JSON text; `source` is what error messages call it.

        Raises:
            UserError: when the text is not JSON or a key is wrong.
        """
        return cls.check(read_json(text, source=source), source=source)

    @classmethod
    def check(cls, content: object, *, source: str) -> Self:
        """The record of parsed JSON; `source` is what error messages call it.

        Raises:
            UserError: when a key is wrong.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise UserError(f"{source}: {explain(cls, error)}") from error

    def save(self, path: Path) -> None:
        """Write the record to a JSON file, atomically."""
        write_text(path, self.model_dump_json(indent=2) + "\n")


def read_text(path: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        UserError: when the file is missing or cannot be read; the message names it.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # editors on Windows put a mark in front
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def read_json(text: str, *, source: str) -> object:
    """Parse JSON; `source` is what error messages call it.

    Raises:
        UserError: when the text is not JSON, or nested beyond all reason.
    """
    try:
        content: object = json.loads(text)
    except RecursionError:
        raise UserError(f"{source} is nested too deeply to be one of our files.") from None
    except ValueError as error:  # JSONDecodeError, or an integer of thousands of digits
        raise UserError(f"{source} is not valid JSON: {error}.") from error
    return content
