"""Validation of a fold: its cases predicted whole, with the last checkpoint, and scored on their own grid."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.memory.peak import PeakMemory
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.runs import RECORD, VALIDATION, RunRecord
from autodiffseg.sampling import Sampling, SamplingRequest
from autodiffseg.workspace import Workspace

from .base import Trainer
from .out_of_fold import find_previous_run, previous_segmentations
from .prediction import choose_sampling, make_predictor
from .stored_member import StoredMember, predict_stored_case

if TYPE_CHECKING:
    from autodiffseg.evaluation.summary import Summary
    from autodiffseg.preprocessing.previous_stage import PreviousStageStore

logger = logging.getLogger(__name__)


class TrainedFold(NamedTuple):
    """A trainer with the weights of a fold, and the fold's folder."""

    trainer: Trainer
    folder: Path

    def member(self, workspace: Workspace, sampling: Sampling, *, weight: float = 1.0) -> StoredMember:
        """What predicts the fold's validation cases; a cascade is shown out-of-fold segmentations, as in training.

        Raises:
            UserError: when a fold of its previous stage is missing.
        """
        trainer, record = self.trainer, RunRecord.load(self.folder / RECORD)
        plan, spec = trainer.plan, trainer.spec
        store = CaseStore(workspace.preprocessed(record.dataset) / plan.data_id(record.configuration))
        predictor = make_predictor(
            [trainer], plan, record.configuration, spec, device=trainer.device, sampling=sampling
        )
        shown = shown_to_cascade(trainer, record, self.folder, workspace, store)
        return StoredMember(predictor, store, plan, spec, shown, weight)


def validate_fold(
    folds: Sequence[TrainedFold],
    folder: Path,
    workspace: Workspace,
    *,
    asked: SamplingRequest | None = None,
    checkpoint: str = "last",
    on_case: Callable[[str], None] | None = None,
    on_start: Callable[[int], None] | None = None,
) -> Summary:
    """Predict the validation cases of a fold into `validation/` and write its summary.json.

    Args:
        folds: the fold itself, or the same fold of each member of an ensemble; they count alike.
        folder: of the fold; its run.json says which cases are its own.
        workspace: where the preprocessed cases and the reference labels lie.
        asked: how to sample; what is None of it is the plan's.
        checkpoint: recorded in the summary; `best` was chosen on these very cases.
        on_case: told each case that is done.
        on_start: told the number of cases.

    Raises:
        UserError: when cases or references are missing.
    """
    from autodiffseg.evaluation.folder import evaluate_folder
    from autodiffseg.evaluation.summary import SUMMARY, write_summary

    record = RunRecord.load(folder / RECORD)
    cases, spec = record.validation_cases, folds[0].trainer.spec
    samplings = [choose_sampling(fold.trainer.plan, *(asked or ())) for fold in folds]
    if on_start is not None:
        on_start(len(cases))
    members = [fold.member(workspace, sampling) for fold, sampling in zip(folds, samplings, strict=True)]
    ending, out = folds[0].trainer.dataset.file_ending, folder / VALIDATION
    # Where there is a summary it tells of all label maps beside it, also when this validation is interrupted: a cascade
    # relies on them.
    (out / SUMMARY).unlink(missing_ok=True)
    memory, began = PeakMemory(folds[0].trainer.device), time.perf_counter()
    for case in cases:
        predict_stored_case(members, case, out / f"{case}{ending}")
        if on_case is not None:
            on_case(case)
    cost = {"prediction_seconds": time.perf_counter() - began, "peak_memory_gb": memory.gb()}
    summary = evaluate_folder(
        out, workspace.reference_labels(record.dataset), spec, ending=ending, cases=cases, processes=1
    )
    passes = [fold.trainer.passes(sampling) for fold, sampling in zip(folds, samplings, strict=True)]
    sampling = samplings[passes.index(max(passes))]  # one that answers at once has no use for its own
    notes = {"checkpoint": checkpoint, "updates": record.iterations_done, "sampling": sampling.model_dump()}
    write_summary(summary, out, **notes, passes=sum(passes), **cost)
    return summary


def shown_to_cascade(
    trainer: Trainer, record: RunRecord, folder: Path, workspace: Workspace, store: CaseStore
) -> PreviousStageStore | None:
    """What a cascade is shown of its validation cases: out-of-fold segmentations, as in training; else None.

    Raises:
        UserError: when a fold of the previous stage is missing.
    """
    stage, ending = trainer.configuration.previous_stage, trainer.dataset.file_ending
    if stage is None:
        return None
    previous = find_previous_run(workspace, record.dataset, record.previous_run, stage, trainer.spec, ending)
    for fold in previous.missing:
        raise UserError(
            f"{previous.folder}, fold {fold.fold}: {fold.lacks}; but the cascade is shown what every fold of the "
            f"previous stage makes of its validation cases. `autodiffseg train … {record.configuration} "
            f"{record.fold} --continue --train-missing` makes what is missing."
        )
    cases = {*record.training_cases, *record.validation_cases}
    shown = previous_segmentations(previous, cases, folder.parent, store, trainer.plan, record.configuration, ending)
    if shown.digest(cases) != record.previous_segmentations:
        logger.warning(
            "%s was trained beside other segmentations of %s than its validations hold now.", folder, previous.folder
        )
    return shown
