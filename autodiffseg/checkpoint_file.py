"""A checkpoint as a file: its name, its format, reading it without executing anything, and telling it by a hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodiffseg.errors import UserError
from autodiffseg.file_hashes import hash_of_bytes

FORMAT = 1
LAST, BEST = "checkpoint_last.pt", "checkpoint_best.pt"

TEXTS = ("trainer", "plan", "configuration", "dataset", "options")
"""What every checkpoint says beside its weights, `network`: name -> tensor."""

RESUME_KEYS = ("optimiser", "scaler", "trainer_state", "best", "training_seconds")
"""What a checkpoint holds for going on with a training alone; prediction needs none of it."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, its tensors on the CPU. Nothing in it is executed.

    Whoever loads a state copies it to its device; AdamW keeps its step counts on the CPU, where they belong.

    Raises:
        UserError: when the file is missing or is no checkpoint of ours, or lacks what prediction needs. Whether the
            weights fit their network is seen where that is built.
    """
    import torch

    if not path.is_file():
        raise UserError(f"{path} does not exist.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the reader raise nearly anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} is no readable checkpoint ({reason:.120}).") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is no checkpoint of autodiffseg in format {FORMAT}.")
    network = content.get("network")
    wrong = [key for key in TEXTS if not isinstance(content.get(key), str)]
    if not isinstance(network, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in network.items()
    ):
        wrong.append("network")
    if wrong:
        raise UserError(
            f"{path} is no sound checkpoint: its '{wrong[0]}' is missing or of another kind; copy it again."
        )
    return content


def checkpoint_id(path: Path) -> str:
    """A hash of the file: which weights a prediction came from."""
    return hash_of_bytes(path)
