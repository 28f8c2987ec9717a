"""The folds of a previous stage that a cascade waits for: what each lacks, how long it takes, what makes it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.runs import RECORD, RunRecord
from autodiffseg.workspace import Workspace

from .checkpoints import trainer_class
from .options import as_settings
from .out_of_fold import PreviousFold, PreviousRun
from .run_request import RunRequest


class Job(NamedTuple):
    """What makes one missing fold."""

    request: RunRequest
    trained: bool
    """Whether its training has finished, so that only its validation is missing."""


class MissingFoldsError(UserError):
    """The previous stage is not complete. The message lists what is missing; `jobs` makes it."""

    def __init__(self, message: str, jobs: Sequence[Job]) -> None:
        """Keep `jobs`, one per missing fold, in order."""
        super().__init__(message)
        self.jobs = tuple(jobs)


def require_complete(previous: PreviousRun, request: RunRequest, plan_iterations: int, workspace: Workspace) -> None:
    """Refuse to go on while a fold of the previous stage is missing.

    Args:
        previous: the run that the cascade of `request` needs.
        request: the cascade's.
        plan_iterations: updates of a training that is not told otherwise.
        workspace: where all lies; the commands name it unless it is the default.

    Raises:
        MissingFoldsError: when one is.
    """
    if not previous.missing:
        return
    jobs = [make_job(request, previous.configuration, fold) for fold in previous.missing]
    pace = _seconds_per_update([fold.record for fold in previous.folds if fold.record is not None])
    lines = [
        f"{request.configuration} is shown what {previous.configuration} makes of each case, by the fold that did not "
        f"train on it. {previous.folder} lacks:"
    ]
    for fold, job in zip(previous.missing, jobs, strict=True):
        took = _expected_time(fold.record, job.request.iterations or plan_iterations, pace)
        lines.append(f"  fold {fold.fold}: {fold.lacks}, {took}: {command_of(job, fold, workspace)}")
    lines.append("Run these, or add --train-missing, which does it one after the other and then goes on.")
    raise MissingFoldsError("\n".join(lines), jobs)


def make_job(request: RunRequest, configuration: str, fold: PreviousFold) -> Job:
    """What a missing fold needs: to be trained as the cascade is asked for, or to the end as it was begun."""
    wanted = replace(request, configuration=configuration, fold=fold.fold)
    record = fold.record
    if record is None:
        return Job(wanted, trained=False)
    begun = replace(wanted, iterations=record.iterations, precision=record.precision, settings=settings_of(record))
    return Job(wanted if record.finished else begun, trained=record.finished)


def settings_of(record: RunRecord) -> tuple[str, ...]:
    """What was set for a training, as it can be set again.

    Raises:
        UserError: when its trainer does not know such options any more.
    """
    options = trainer_class(record.trainer).Options
    return as_settings(options.check(record.options, source=f"{RECORD} of fold {record.fold}, options"))


def _seconds_per_update(records: Sequence[RunRecord]) -> float | None:
    """Over what has been trained of the run so far; None when that is nothing."""
    updates = sum(record.iterations_done for record in records)
    seconds = sum(record.training_seconds for record in records if record.iterations_done)
    return seconds / updates if updates and seconds else None


def _expected_time(record: RunRecord | None, iterations: int, pace: float | None) -> str:
    if record is not None and record.finished:
        return "a validation"
    if pace is None:
        return "time unknown"
    minutes = pace * (iterations - (record.iterations_done if record is not None else 0)) / 60
    shown = f"{minutes / 60:.1f} h" if minutes >= 90 else f"{max(1, round(minutes))} min"
    return f"about {shown} of training"


def command_of(job: Job, fold: PreviousFold, workspace: Workspace) -> str:
    """The command line that makes a fold; options that stand at their defaults are left out."""
    asked = job.request
    words = ["autodiffseg", "validate" if job.trained else "train", asked.dataset, asked.configuration, asked.fold]
    words += ["--trainer", asked.trainer, *_option("--plan", asked.plan)]
    if job.trained:
        words += _option("--tag", asked.whole_tag)
    else:
        words += _option("--tag", asked.tag)
        words += _option("--seed", asked.seed)
        words += _option("--n-labelled", asked.n_labelled)
        words += _option("--label-seed", asked.label_seed)
        words += _option("--iterations", asked.iterations)
        words += _option("--precision", asked.precision if asked.precision != "auto" else None)
        words += [word for setting in asked.settings for word in ("--set", setting)]
        words += ["--continue"] if fold.record is not None else []
    words += _option("--device", asked.device)
    words += _option("--workspace", workspace.root if workspace.root != Workspace().root else None)
    return shlex.join(words)


def _option(name: str, value: object) -> list[str]:
    return [name, str(value)] if value else []
