"""Manifest: what the zip file of a model holds; model.json in it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from autodiffseg.records import Record

FILE = "model.json"
CARD = "MODEL_CARD.md"

_SAFE_NAME = re.compile(r"""[^\\/:*?"<>|\x00-\x1f.~ -][^\\/:*?"<>|\x00-\x1f]{0,199}(?<![. ])""")
_INSIDE = re.compile(
    r"plan\.json|dataset\.json|postprocessing\.json"
    r"|fold_(?:\d{1,3}|all)/(?:run\.json|checkpoint_last\.pt|progress\.csv|validation/summary\.json)"
)


def is_safe_name(name: str) -> bool:
    """Whether a text can name a folder on every system, and no other place than that."""
    return _SAFE_NAME.fullmatch(name) is not None


def is_known_file(name: str) -> bool:
    """Whether a name in a zip file is one that an exported model may have; no other is ever written to disk."""
    folder, _, rest = name.partition("/")
    return name in (FILE, CARD) or (is_safe_name(folder) and _INSIDE.fullmatch(rest) is not None)


def _safe_name(name: str) -> str:
    if not is_safe_name(name):
        raise ValueError(f"{name!r:.80} cannot name a folder")
    return name


SafeName = Annotated[str, AfterValidator(_safe_name)]


class SharedFile(Record):
    """One file in the zip file, as it is when unpacked."""

    bytes: int = Field(ge=0)
    sha256: str


class Manifest(Record):
    """model.json: what was exported."""

    schema_version: Literal[1] = 1
    """Of this format."""
    dataset: SafeName
    """Full name of the dataset; models are imported into its results."""
    models: tuple[SafeName, ...] = Field(min_length=1)
    """Folders that predict's --model is to name, together where there are several."""
    needed: tuple[SafeName, ...] = ()
    """Folders that these must have beside them: members of ensembles, previous stages of cascades."""
    trainers: tuple[str, ...]
    """Names of the trainers; `package.module:Class` is of the user's own and not in the file."""
    files: dict[str, SharedFile]
    """Every file but this one."""
    versions: dict[str, str]
    """Of what exported it."""
