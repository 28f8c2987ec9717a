"""The trained folds of a model folder: which there are, which are asked for, and loading them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autodiffseg.errors import UserError
from autodiffseg.runs import finished_folds, fold_folder, fold_records

if TYPE_CHECKING:
    import torch

    from .base import Trainer

CHECKPOINTS = ("last", "best")


def find_checkpoints(model: Path, folds: Sequence[str], checkpoint: str) -> dict[str, Path]:
    """Fold -> checkpoint file of the folds asked for, or of all that have finished.

    Args:
        model: the folder that holds `fold_*`.
        folds: "0", "1", … or "all"; none means all finished folds.
        checkpoint: "last" or "best".

    Raises:
        UserError: when the folder is no model or a fold or its checkpoint is missing; the message says what there is.
    """
    if checkpoint not in CHECKPOINTS:
        raise UserError(f"--checkpoint {checkpoint}: last and best are possible.")
    chosen = tuple(dict.fromkeys(folds)) or finished_folds(model)
    found = {fold: fold_folder(model, fold) / f"checkpoint_{checkpoint}.pt" for fold in chosen}
    trained = fold_records(model) if model.is_dir() else {}
    if not trained:
        finished_folds(model)  # says why this is no model folder
    for fold, path in found.items():
        if fold not in trained:
            raise UserError(f"{model} has no fold {fold}; it has: {', '.join(trained)}.")
        if trained[fold].members:
            raise UserError(
                f"{model} is an ensemble and has no weights; name one of its members, which lie beside it: "
                f"{', '.join(trained[fold].members)}."
            )
        if not path.is_file():
            there = sorted(file.name for file in path.parent.glob("checkpoint_*.pt"))
            raise UserError(f"{path} does not exist; the fold has: {', '.join(there) or 'no checkpoint yet'}.")
    return found


def load_models(checkpoints: dict[str, Path], *, device: torch.device, precision: str) -> list[Trainer]:
    """The trainers of the folds, ready to predict.

    Raises:
        UserError: when a checkpoint cannot be read, or the folds cannot be averaged.
    """
    from .checkpoints import load_trainer

    models = [load_trainer(path, device, precision) for path in checkpoints.values()]
    wanted = _common_ground(models[0])
    for model, path in zip(models[1:], list(checkpoints.values())[1:], strict=True):
        if _common_ground(model) != wanted:
            raise UserError(
                f"{path} was trained with another plan or other labels than {next(iter(checkpoints.values()))}; "
                "their predictions cannot be averaged. Choose among them with --fold."
            )
    return models


def _common_ground(model: Trainer) -> tuple[object, ...]:
    """What models must share: the preprocessed data, the patch and the meaning of the channels."""
    data = model.plan.data_id(model.configuration_name)
    labels = tuple(model.spec.foreground.items())
    return data, model.configuration.patch_size, model.configuration.mirror_axes, labels
