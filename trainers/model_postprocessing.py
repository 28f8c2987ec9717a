"""The postprocessing of a model: found as soon as all folds of its dataset's split have been validated."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import SUMMARY, load_summary
from autodiffseg.preprocessing.parallel import default_processes
from autodiffseg.runs import VALIDATION, RunRecord, fold_folder

from .out_of_fold import find_previous_run

if TYPE_CHECKING:
    from autodiffseg.dataset import DatasetJson
    from autodiffseg.postprocessing.record import Postprocessing
    from autodiffseg.workspace import Workspace

logger = logging.getLogger(__name__)


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
    from autodiffseg.postprocessing.record import FILE
    from autodiffseg.postprocessing.search import find_rules
    from autodiffseg.postprocessing.sources import validated_pairs

    if not _is_complete(run, record, dataset, workspace):
        return None
    pairs = validated_pairs(run, workspace.reference_labels(record.dataset))
    groups = [dataset.group(case) for case in pairs] if dataset.has_groups else None
    found = find_rules(pairs, dataset.spec, groups=groups, processes=default_processes())
    found.save(run / FILE)
    return found


def _is_complete(run: Path, record: RunRecord, dataset: DatasetJson, workspace: Workspace) -> bool:
    """Whether every fold is validated with its last checkpoint, all alike, and on cases that it did not train on."""
    try:
        folds = find_previous_run(
            workspace, record.dataset, run.name, record.configuration, dataset.spec, dataset.file_ending
        ).folds
    except UserError as error:  # of another fold; that this one was validated stays true
        logger.warning("No rules of postprocessing were looked for: %s", error)
        return False
    if any(fold.lacks for fold in folds):
        return False
    own = [fold.record for fold in folds if fold.record is not None]
    if any(set(one.training_cases) & set(one.validation_cases) for one in own):  # a dataset of one case or group
        return False
    notes = [load_summary(fold_folder(run, one.fold) / VALIDATION / SUMMARY).notes for one in own]
    return all(note.get("sampling") == notes[0].get("sampling") for note in notes)
