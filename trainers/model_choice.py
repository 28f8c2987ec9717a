"""Which models are averaged, and how they are weighed; checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.runs import finished_folds, fold_records

from .model_folder import find_checkpoints


class ModelChoice(NamedTuple):
    """A model that takes part."""

    folder: Path
    folds: tuple[str, ...]
    """None means all that have finished."""
    weight: float
    """Of its probabilities, the mean over its folds, in the mean over models."""


def choose_models(models: Sequence[Path], folds: Sequence[str]) -> list[ModelChoice]:
    """The models that are named, with equal weight; an ensemble's members share the weight of the ensemble.

    Raises:
        UserError: when a folder is no model, lacks a fold or a member, or a model is there twice and would count twice.
    """
    chosen: dict[Path, ModelChoice] = {}
    for model in models:
        found = _with_members(ModelChoice(model, tuple(folds), 1 / len(models)))
        for choice in found:
            if choice.folder.resolve() in chosen:
                by = f", a member of {model}," if len(found) > 1 else ""
                raise UserError(f"--model {choice.folder}{by} is named twice; name each model once, all count alike.")
            chosen[choice.folder.resolve()] = choice
    return list(chosen.values())


def check_models(models: Sequence[Path], folds: Sequence[str], checkpoint: str) -> None:
    """Refuse what cannot be averaged, as far as it can be told without reading weights.

    Raises:
        UserError: when a folder is no model, or a fold or checkpoint is missing; the message says what there is.
    """
    for choice in choose_models(models, folds):
        find_checkpoints(choice.folder, choice.folds, checkpoint)


def _with_members(choice: ModelChoice) -> list[ModelChoice]:
    """The members of an ensemble, of the folds that the ensemble has; any other model as it is."""
    records = fold_records(choice.folder) if choice.folder.is_dir() else {}
    if not any(record.members for record in records.values()):
        return [choice]
    folds = choice.folds or finished_folds(choice.folder)
    missing = [fold for fold in folds if fold not in records]
    if missing:
        raise UserError(f"{choice.folder} has no fold {missing[0]}; it has: {', '.join(records)}.")
    names = list(dict.fromkeys(name for fold in folds for name in records[fold].members))
    for name in names:
        if not (choice.folder.parent / name).is_dir():
            raise UserError(
                f"{choice.folder} is an ensemble of {' and '.join(names)}, which must lie beside it; {name} does not."
            )
    return [ModelChoice(choice.folder.parent / name, folds, choice.weight / len(names)) for name in names]
