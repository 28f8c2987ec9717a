"""Out-of-fold segmentations: what a cascade is trained and validated on was predicted by folds that never saw it.

The previous stage learns its training cases by heart, so its segmentations of them are better than those of new cases
will be. A cascade that is shown them would learn to copy. So each case's segmentation is taken from the validation of
the fold that did not train on the case.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autodiffseg.checkpoint_file import LAST, checkpoint_id
from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import SUMMARY, class_keys, load_summary
from autodiffseg.evaluation.validated import is_of_last
from autodiffseg.folds import load_folds
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.parallel import default_processes
from autodiffseg.preprocessing.previous_stage import PreviousStageStore, Watch, store_previous_stage
from autodiffseg.runs import VALIDATION, RunRecord, fold_folder, fold_records, run_name
from autodiffseg.workspace import Workspace

SEGMENTATIONS = "previous_stage"
"""Folder in a cascade's run with the segmentations of its previous stage on its own grid."""


@dataclass(frozen=True)
class PreviousFold:
    """A fold of the previous stage, and what it lacks."""

    fold: str
    record: RunRecord | None
    """None when its training has no checkpoint yet."""
    lacks: str
    """In words; "" when its validation can be used."""


@dataclass(frozen=True)
class PreviousRun:
    """The run of the previous stage that belongs to a cascade's: of the same trainer, plan, tag and seed."""

    folder: Path
    configuration: str
    folds: tuple[PreviousFold, ...]
    """All folds of the dataset's split."""

    @property
    def missing(self) -> tuple[PreviousFold, ...]:
        """The folds whose validation cannot be used yet."""
        return tuple(fold for fold in self.folds if fold.lacks)

    def checkpoints(self) -> dict[str, str]:
        """Fold -> hash of the checkpoint that its validation was made with."""
        return {fold.fold: checkpoint_id(fold_folder(self.folder, fold.fold) / LAST) for fold in self.folds}


def previous_run_name(record: RunRecord, previous_stage: str) -> str:
    """Folder name of the run of `previous_stage` that belongs to the cascade of `record`."""
    return run_name(record.trainer, record.plan, previous_stage, record.tag)


def find_previous_run(
    workspace: Workspace, dataset: str, name: str, previous_stage: str, spec: LabelSpec, ending: str
) -> PreviousRun:
    """The previous stage's run called `name`, whatever there is of it.

    Args:
        workspace: where results and folds lie.
        dataset: full name.
        name: of the run's folder, from `previous_run_name`.
        previous_stage: name of its configuration.
        spec: the labels that the cascade is trained for.
        ending: of label files.

    Raises:
        UserError: when a fold was trained for other labels.
    """
    folder = workspace.results(dataset) / name
    records = fold_records(folder) if folder.is_dir() else {}
    folds = []
    for fold in map(str, range(len(load_folds(workspace.splits_path(dataset))))):
        # Before its first checkpoint a training may be repeated at will: it is as if it had not begun.
        record = records.get(fold)
        if record is not None and not record.members and not (fold_folder(folder, fold) / LAST).is_file():
            record = None
        lacks = "not trained" if record is None else _lacks(fold_folder(folder, fold), record, spec, ending)
        folds.append(PreviousFold(fold, record, lacks))
    return PreviousRun(folder, previous_stage, tuple(folds))


def segmentation_files(previous: PreviousRun, cases: Iterable[str], ending: str) -> dict[str, Path]:
    """Case -> its label map by a fold that did not train on it.

    Args:
        previous: with no fold missing.
        cases: those that the cascade trains on or validates on.
        ending: of the label files.

    Raises:
        UserError: when a case was validated by no fold, or only by one that trained on it too.
    """
    found: dict[str, Path] = {}
    for fold in previous.folds:
        assert fold.record is not None
        seen = set(fold.record.training_cases)
        for case in fold.record.validation_cases:
            if case not in seen:
                found.setdefault(case, fold_folder(previous.folder, fold.fold) / VALIDATION / f"{case}{ending}")
    lost = sorted(set(cases) - set(found))
    if lost:
        raise UserError(
            f"{previous.folder}: no fold validated {lost[0]} without training on it ({len(lost)} such cases), but a "
            "cascade needs that of every case. Was the split changed since? Train all its folds anew, with another "
            "--tag. A dataset of one case or group cannot have a cascade."
        )
    return {case: found[case] for case in cases}


def previous_segmentations(
    previous: PreviousRun,
    cases: Iterable[str],
    run: Path,
    store: CaseStore,
    plan: Plan,
    configuration: str,
    ending: str,
    watch: Watch | None = None,
) -> PreviousStageStore:
    """The out-of-fold segmentations of `cases` on the preprocessed grid of the cascade, kept in its run's folder.

    Args:
        previous: with no fold missing.
        cases: ids.
        run: folder of the cascade's run; its folds share what is kept.
        store: the cascade's preprocessed cases.
        plan: of both.
        configuration: the cascade's.
        ending: of label files.
        watch: the progress of bringing them there.

    Raises:
        UserError: when a case has no out-of-fold segmentation, or one that cannot be used.
    """
    files = segmentation_files(previous, cases, ending)
    folder, processes = run / SEGMENTATIONS, default_processes()
    return store_previous_stage(files, store, plan, configuration, folder, processes=processes, watch=watch)


def _lacks(folder: Path, record: RunRecord, spec: LabelSpec, ending: str) -> str:
    """What a fold that was begun lacks before its validation can be used, in words; "" for nothing.

    Raises:
        UserError: when it was trained for other labels.
    """
    if not record.finished:
        return f"{record.iterations_done} of {record.iterations} updates"
    path = folder / VALIDATION / SUMMARY
    if not path.is_file():
        return "not validated"
    summary = load_summary(path)
    if summary.classes != class_keys(spec):
        raise UserError(
            f"{folder} was trained for other labels ({', '.join(summary.classes.values())}); remove it and train it "
            "anew, or use another --tag."
        )
    if not is_of_last(summary, record):
        return "not validated with its last checkpoint"
    scored = {case.case for case in summary.cases}
    if any(case not in scored or not (path.parent / f"{case}{ending}").is_file() for case in record.validation_cases):
        return "not validated on all its cases"
    return ""
