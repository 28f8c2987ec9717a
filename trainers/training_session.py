"""TrainingSession: trains and validates what the user asked for, with progress bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rich.console import Console

from autodiffseg.evaluation.summary import SUMMARY
from autodiffseg.evaluation.validated import is_validated
from autodiffseg.runs import RECORD, VALIDATION, RunRecord
from autodiffseg.workspace import Workspace

from .base import Trainer
from .ensemble import is_ensemble, read_ensemble
from .ensemble_run import ensemble_record, load_members, member_states, run_folder
from .loop import Loop
from .missing_folds import Job, MissingFoldsError
from .precision import choose_device
from .run_request import RunRequest
from .run_setup import load_finished, prepare
from .training_progress import bar_when_needed, run_shown
from .validate import run_validation
from .validation import TrainedFold


@dataclass(frozen=True)
class TrainingSession:
    """How trainings are made, whichever they are."""

    place: Workspace
    workers: int
    console: Console
    go_on: bool = False
    """From the last checkpoint, if there is one."""
    init_from: Path | None = None
    """A checkpoint whose weights are taken over as far as they fit."""
    train_missing: bool = False
    """Of a cascade: first train the folds of its previous stage that lack."""

    def train(self, request: RunRequest) -> Path:
        """Train and validate a fold, or all members of an ensemble; its folder.

        Raises:
            UserError: when anything is missing, contradictory, or would overwrite an earlier training.
        """
        return self._train_ensemble(request) if is_ensemble(request.trainer) else self._train_fold(request)

    def _train_fold(self, request: RunRequest) -> Path:
        try:
            return self._run(*self._prepare(request))
        except MissingFoldsError as error:
            if not self.train_missing:
                raise
            jobs = error.jobs
        for job in jobs:
            self._make_missing(job)
        return self._run(*self._prepare(request))

    def _train_ensemble(self, request: RunRequest) -> Path:
        """Train the members that lack, each as a run of its own, and validate the mean of their probabilities."""
        ensemble = read_ensemble(request)
        folder = run_folder(ensemble.request, self.place)
        for state in member_states(ensemble, self.place, go_on=self.go_on):
            if not state.trained:
                self._train_fold(state.request)
            elif not state.validated:
                self._validate(state.request)
            else:
                self.console.print(f"Member {state.folder} is trained and validated.", soft_wrap=True)
        folders = [run_folder(member, self.place) for member in ensemble.members]
        record = ensemble_record(
            folders,
            trainer=request.trainer,
            tag=ensemble.request.whole_tag,
            options=ensemble.options.model_dump(mode="json"),
        )
        before = RunRecord.load(folder / RECORD) if (folder / RECORD).is_file() else None
        if before is not None and before.members == record.members and is_validated(folder, before):
            self.console.print(f"The ensemble of just these members is validated: {folder}", soft_wrap=True)
            return folder
        (folder / VALIDATION / SUMMARY).unlink(missing_ok=True)  # it speaks of other members
        record.save(folder / RECORD)
        members = load_members(folders, "last", choose_device(request.device), request.precision)
        run_validation(members, folder, self.place)
        return folder

    def _prepare(self, request: RunRequest) -> tuple[Loop, Path, list[str]]:
        with bar_when_needed("Previous stage", self.console) as watch:
            return prepare(request, self.place, go_on=self.go_on, init_from=self.init_from, watch=watch)

    def _make_missing(self, job: Job) -> None:
        """Train a fold of a previous stage to its end and validate it, or do the latter alone."""
        if job.trained:
            self._validate(job.request)
        else:
            self._run(*prepare(job.request, self.place, go_on=True, init_from=None))

    def _validate(self, request: RunRequest) -> None:
        """Validate a trained fold."""
        fold = TrainedFold(*load_finished(request, self.place))
        self.console.print(f"{request.configuration}, fold {request.fold} is trained and lacks its validation.")
        run_validation([fold], fold.folder, self.place)

    def _run(self, loop: Loop, folder: Path, notes: Sequence[str]) -> Path:
        """Train and validate a prepared fold; its folder."""
        record, console = loop.record, self.console
        console.print(
            f"Training {record.trainer} on {record.dataset}, {record.configuration}, fold {record.fold}: "
            f"{record.iterations} updates, {record.parameters / 1e6:.2f} M parameters, {record.device} "
            f"{record.precision}.",
            soft_wrap=True,
        )
        record = run_shown(loop, notes, console, workers=self.workers)
        console.print(f"Trained in {record.training_seconds / 60:.1f} minutes: {folder}", soft_wrap=True)
        trainer = cast(Trainer, loop.trainer)
        trainer.prepare_prediction()
        run_validation([TrainedFold(trainer, folder)], folder, self.place)
        return folder
