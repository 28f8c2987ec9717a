"""The postprocessing of a model: found as soon as all folds of its dataset's split have been validated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autodiffseg.evaluation.summary import SUMMARY, class_keys, load_summary
from autodiffseg.evaluation.validated import is_validated
from autodiffseg.folds import load_folds
from autodiffseg.preprocessing.parallel import default_processes
from autodiffseg.runs import VALIDATION, RunRecord, fold_folder, fold_records

if TYPE_CHECKING:
    from autodiffseg.dataset import DatasetJson
    from autodiffseg.postprocessing.record import Postprocessing
    from autodiffseg.workspace import Workspace


def find_when_complete(
    run: Path, record: RunRecord, dataset: DatasetJson, workspace: Workspace
) -> Postprocessing | None:
    """Find the rules of a run and write its postprocessing.json; None, and nothing, while folds are missing.

    Args:
        run: folder of the run.
        record: of one of its folds.
        dataset: the labels, their file ending and the groups.
        workspace: where the folds and the references lie.

    Raises:
        UserError: when a prediction or a reference cannot be read.
    """
    from autodiffseg.postprocessing.origin import validated_weights
    from autodiffseg.postprocessing.record import FILE
    from autodiffseg.postprocessing.search import find_rules
    from autodiffseg.postprocessing.sources import validated_pairs

    if not _is_complete(run, record, dataset, workspace):
        return None
    weights = validated_weights(run)
    pairs = validated_pairs(run, workspace.reference_labels(record.dataset))
    groups = [dataset.group(case) for case in pairs] if dataset.has_groups else None
    found = find_rules(pairs, dataset.spec, groups=groups, processes=default_processes())
    found = found.model_copy(update={"checkpoints": weights})
    found.save(run / FILE)
    return found


def _is_complete(run: Path, record: RunRecord, dataset: DatasetJson, workspace: Workspace) -> bool:
    """Whether every fold is validated with its last checkpoint, all alike, and on cases that it did not train on."""
    records, sampling = fold_records(run), []
    for fold in map(str, range(len(load_folds(workspace.splits_path(record.dataset))))):
        one, folder = records.get(fold), fold_folder(run, fold)
        if one is None or not one.finished or not is_validated(folder, one):
            return False
        if set(one.training_cases) & set(one.validation_cases):  # a dataset of one case or group
            return False
        summary = load_summary(folder / VALIDATION / SUMMARY)
        if summary.classes != class_keys(dataset.spec):  # trained before the labels changed
            return False
        sampling.append(summary.notes.get("sampling"))
    return all(one == sampling[0] for one in sampling)
