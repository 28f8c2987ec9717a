"""Which weights the rules of a model were found for, and whether its folds still have them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autodiffseg.checkpoint_file import LAST, checkpoint_id
from autodiffseg.evaluation.summary import SUMMARY
from autodiffseg.postprocessing.record import Postprocessing
from autodiffseg.runs import VALIDATION, RunRecord, fold_folder, fold_records


def validated_weights(model: Path) -> dict[str, tuple[str, ...]]:
    """Fold -> hashes of its last checkpoint, of an ensemble's members in the order of run.json; of validated folds."""
    return {
        fold: weights_of(model, record)
        for fold, record in fold_records(model).items()
        if fold != "all" and (fold_folder(model, fold) / VALIDATION / SUMMARY).is_file()
    }


def folds_trained_anew(found: Postprocessing, model: Path, folds: Sequence[str]) -> list[str]:
    """Those of `folds` (none: all finished) whose last checkpoint is another than that of the rules, or is gone.

    A fold that the rules were not found on (`all`, or one validated later) does not count: rules are for every fold of
    a model.
    """
    if not found.checkpoints:
        return []
    records = fold_records(model)
    return [
        fold
        for fold in folds or [fold for fold, record in records.items() if record.finished]
        if fold in found.checkpoints and fold in records and weights_of(model, records[fold]) != found.checkpoints[fold]
    ]


def weights_of(model: Path, record: RunRecord) -> tuple[str, ...]:
    """Hash of a fold's last checkpoint, of an ensemble's members in the order of run.json; without what is gone."""
    homes = [model.parent / name for name in record.members] or [model]
    paths = [fold_folder(home, record.fold) / LAST for home in homes]
    return tuple(checkpoint_id(path) for path in paths if path.is_file())
