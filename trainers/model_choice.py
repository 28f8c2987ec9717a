"""Which models are averaged, and how they are weighed; checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autodiffseg.errors import UserError

from .model_folder import find_checkpoints


class ModelChoice(NamedTuple):
    """A model that takes part."""

    folder: Path
    folds: tuple[str, ...]
    """None means all that have finished."""
    weight: float
    """Of its probabilities, the mean over its folds, in the mean over models."""


def choose_models(models: Sequence[Path], folds: Sequence[str]) -> list[ModelChoice]:
    """The models that are named, with equal weight.

    Raises:
        UserError: when one is named twice, so that it would count twice.
    """
    seen: dict[Path, Path] = {}
    for model in models:
        if model.resolve() in seen:
            raise UserError(f"--model {model} is named twice; name each model once, all count alike.")
        seen[model.resolve()] = model
    return [ModelChoice(model, tuple(folds), 1 / len(models)) for model in models]


def check_models(models: Sequence[Path], folds: Sequence[str], checkpoint: str) -> None:
    """Refuse what cannot be averaged, as far as it can be told without reading weights.

    Raises:
        UserError: when a folder is no model, or a fold or checkpoint is missing; the message says what there is.
    """
    for choice in choose_models(models, folds):
        find_checkpoints(choice.folder, choice.folds, checkpoint)
