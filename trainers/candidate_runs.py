"""The runs among which find-best chooses: their folds that are trained and validated, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from autodiffseg import registry
from autodiffseg.checkpoint_file import LAST, checkpoint_id
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import SUMMARY, CaseScores, load_summary
from autodiffseg.runs import VALIDATION, RunRecord, asked_tag, dataset_runs, fold_folder, fold_records
from autodiffseg.sampling import Sampling
from autodiffseg.workspace import Workspace

from .missing_folds import Job, command_of, make_job, settings_of
from .out_of_fold import PreviousFold, find_previous_run
from .prediction import choose_sampling
from .run_request import RunRequest


class RunFilter(NamedTuple):
    """Which runs take part; an empty field means all."""

    trainers: Sequence[str] = ()
    configurations: Sequence[str] = ()
    plans: Sequence[str] = ()
    tags: Sequence[str] = ("",)

    def fits(self, record: RunRecord) -> bool:
        """Whether a run takes part. An ensemble's tag names its members and tells no training from another."""
        tag = "" if record.members else record.tag
        return (
            (not self.trainers or not {record.trainer, record.trainer.rpartition(":")[2]}.isdisjoint(self.trainers))
            and (not self.configurations or record.configuration in self.configurations)
            and (not self.plans or record.plan in self.plans)
            and (not self.tags or tag in self.tags)
        )


@dataclass(frozen=True)
class CandidateRun:
    """A run of which at least one fold has been validated on cases that it was not trained on."""

    folder: Path
    records: dict[str, RunRecord]
    """Fold -> record, of those folds."""
    scores: dict[str, CaseScores]
    """Case -> its scores by the fold that did not train on it."""
    fold_of: dict[str, str]
    """Case -> that fold."""
    sampling: Sampling

    @property
    def name(self) -> str:
        """That of its folder."""
        return self.folder.name

    @cached_property
    def checkpoints(self) -> dict[str, str]:
        """Fold -> hash of its last checkpoint."""
        return {fold: checkpoint_id(fold_folder(self.folder, fold) / LAST) for fold in self.records}

    @property
    def record(self) -> RunRecord:
        """Of the first of its folds."""
        return next(iter(self.records.values()))


class Lack(NamedTuple):
    """A fold that is missing."""

    run: str
    fold: str
    lacks: str
    """In words."""
    command: str
    """That makes it; "" where there is none."""


def find_candidates(
    workspace: Workspace, dataset: str, declared: DatasetJson, chosen: RunFilter
) -> tuple[list[CandidateRun], list[Lack]]:
    """The runs that can be compared by cross-validation, whatever has finished of them; and what they lack.

    Args:
        workspace: where the results lie.
        dataset: full name.
        declared: labels and file ending, as they are now.
        chosen: which runs take part.

    Raises:
        UserError: when none is left.
    """
    found: list[CandidateRun] = []
    lacks: list[Lack] = []
    known = {folder: next(iter(fold_records(folder).values())) for folder in dataset_runs(workspace, dataset)}
    for folder, record in known.items():
        if not chosen.fits(record):
            continue
        try:
            sampling = choose_sampling(workspace.plan(dataset, record.plan))  # an imported model's may not be here
            stages = find_previous_run(
                workspace, dataset, folder.name, record.configuration, declared.spec, declared.file_ending
            ).folds
        except UserError as error:
            lacks.append(Lack(folder.name, "all", str(error), ""))
            continue
        candidate = CandidateRun(folder, {}, {}, {}, sampling)
        for fold in stages:
            reason = fold.lacks or _why_not(folder, fold, sampling)
            if reason:
                lacks.append(Lack(folder.name, fold.fold, reason, _command(record, fold, workspace)))
            else:
                _add_fold(candidate, fold)
        if candidate.scores:
            found.append(candidate)
    if not found:
        names = ", ".join(folder.name for folder in known) or "nothing yet"
        told = f" Missing: {lacks[0].run}, fold {lacks[0].fold}: {lacks[0].lacks}." if lacks else ""
        raise UserError(
            f"{workspace.results(dataset)} holds no validated run that fits; it has: {names}.{told} "
            f"Train one with `autodiffseg train`."
        )
    return found, lacks


def _why_not(run: Path, fold: PreviousFold, sampling: Sampling) -> str:
    """Why a fold that is trained and validated does not tell what predict would give; "" when it does."""
    assert fold.record is not None
    if set(fold.record.training_cases) & set(fold.record.validation_cases):
        return "validated on cases that it was trained on"
    notes = load_summary(fold_folder(run, fold.fold) / VALIDATION / SUMMARY).notes
    if notes.get("sampling") not in (None, sampling.model_dump()):
        return "validated with other sampling than the plan's, which predict uses"
    for name, known in fold.record.members.items():
        path = fold_folder(run.parent / name, fold.fold) / LAST
        if not path.is_file() or checkpoint_id(path) != known:
            return f"validated with other weights than its member {name} has now"
    return ""


def _add_fold(candidate: CandidateRun, fold: PreviousFold) -> None:
    assert fold.record is not None
    candidate.records[fold.fold] = fold.record
    own = set(fold.record.validation_cases)
    for case in load_summary(fold_folder(candidate.folder, fold.fold) / VALIDATION / SUMMARY).cases:
        if case.case in own and case.case not in candidate.scores:
            candidate.scores[case.case] = case
            candidate.fold_of[case.case] = fold.fold


def _command(record: RunRecord, fold: PreviousFold, workspace: Workspace) -> str:
    """The command line that makes a fold of a run as the fold of `record` was made."""
    if record.members:
        settings, iterations = _ensemble_settings(record), None  # its updates are those of its members together
    else:
        settings, iterations = settings_of(record), record.iterations
    asked = RunRequest(
        dataset=record.dataset,
        configuration=record.configuration,
        fold=fold.fold,
        trainer=record.trainer,
        plan=record.plan,
        tag="" if record.members else asked_tag(record),
        seed=record.seed,
        n_labelled=record.n_labelled,
        label_seed=record.label_seed,
        iterations=iterations,
        device=None,
        precision="auto",
        settings=settings,
    )
    if record.members:  # what its members lack is made by training it, whatever there is of it
        return command_of(Job(asked, trained=False), fold, workspace)
    return command_of(make_job(asked, record.configuration, fold), fold, workspace)


def _ensemble_settings(record: RunRecord) -> tuple[str, ...]:
    members = ",".join(record.options["members"])
    usual = registry.load(registry.ENSEMBLES, record.trainer)().members
    return () if set(record.options["members"]) == set(usual) else (f"members={members}",)
