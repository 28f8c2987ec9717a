"""Measuring a finished run of the recycling study: which predictions are scored, and its two files of rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from study_runs import Run, Study
from study_scores import Part, read_parts, write_parts

from autodiffseg.atomic import write_json
from autodiffseg.errors import UserError
from autodiffseg.evaluation.step_scores import METRICS, StepScores
from autodiffseg.evaluation.summary import SUMMARY, load_summary
from autodiffseg.evaluation.validated import is_validated
from autodiffseg.runs import RECORD, VALIDATION, RunRecord
from autodiffseg.sharing.privacy import command_without_paths
from autodiffseg.trainers.analysis_source import AnalysisSource, SourceRequest
from autodiffseg.trainers.prediction import choose_sampling
from autodiffseg.trainers.provenance import git_revision, hardware, versions
from autodiffseg.workspace import Workspace

SAMPLERS = ("ddpm", "ddim")
STEPS = 5
NUMBERS_OF_STEPS = (1, 2, 3, 10, 20)
"""Beside five (the recycling paper's Table 3)."""
SEEDS = 5
"""Sampling seeds for the spread (its Table 4)."""
VALIDATED = (Part("ddpm", STEPS, True), Part("none", 1, True))
"""What `train` has predicted and scored by itself."""


class Wanted(NamedTuple):
    """One way to predict all cases: how many samples of each, and whether all steps are scored or the last alone."""

    part: Part
    samples: int = 1
    every_step: bool = False


@dataclass(frozen=True)
class Rows:
    """What is known of a measured run."""

    record: dict[str, Any]
    parts: dict[Part, StepScores]


def wanted(run: Run) -> list[Wanted]:
    """What is measured of a run: mirrored predictions for the tables, plain ones (an eighth of the work) per step."""
    if run.trainer == "supervised":
        return [Wanted(Part("none", 1, True)), Wanted(Part("none", 1, False))]
    seeds = 1 if run.purpose in ("ablation", "equal wall time") else SEEDS
    found = [Wanted(Part("ddpm", STEPS, True)), Wanted(Part("ddpm", STEPS, False), seeds, every_step=True)]
    found.append(Wanted(Part("ddim", STEPS, True)))
    if run.purpose == "main":
        found.append(Wanted(Part("ddim", STEPS, False), every_step=True))
    if run.step_counts:
        found += [Wanted(Part(sampler, count, False)) for count in NUMBERS_OF_STEPS for sampler in SAMPLERS]
    return found


def is_finished(folder: Path) -> bool:
    """Whether a fold has been trained to its end and validated since."""
    if not (folder / RECORD).is_file():
        return False
    record = RunRecord.load(folder / RECORD)
    return record.finished and is_validated(folder, record)


def rows_of(study: Study, name: str, results: Path) -> Rows | None:
    """What has been measured under a name; None when nothing has."""
    record, scores = row_files(study, name, results)
    if not (record.is_file() and scores.is_file()):
        return None
    return Rows(json.loads(record.read_text(encoding="utf-8")), read_parts(scores))


def row_files(study: Study, name: str, results: Path) -> tuple[Path, Path]:
    """Where the record and the scores lie that are called `name`."""
    folder = results / study.dataset
    return folder / f"{name}.json", folder / f"{name}.csv"


def measure(study: Study, run: Run, workspace: Workspace, results: Path, *, tell: Callable[[str], None]) -> None:
    """Measure what is lacking of a finished run; each part is written as soon as it is there."""
    name, folder = study.name(run), study.folder(run, workspace)
    record_file, scores_file = row_files(study, name, results)
    known = read_parts(scores_file)
    lacking = [one for one in wanted(run) if one.part not in known]
    if not lacking and record_file.is_file():
        return
    record = RunRecord.load(folder / RECORD)
    require_as_listed(run, record, folder)
    measured: dict[str, Any] = {}
    if record_file.is_file():
        measured = json.loads(record_file.read_text(encoding="utf-8"))["measured"]
    for one in lacking:
        tell(f"{name}: {one.part.sampler}, {one.part.steps} steps, {'with' if one.part.mirroring else 'no'} mirroring")
        known[one.part] = _validated(folder) if one.part in VALIDATED else _predicted(study, run, workspace, one)
        measured["-".join(map(str, one.part))] = {"revision": git_revision(), "samples": one.samples}
        write_parts(scores_file, known)
        trained = record.model_dump(mode="json", exclude={"training_cases", "validation_cases"})
        trained["command"] = command_without_paths(record.command)
        by = {"hardware": hardware(torch.device("cpu")), "versions": versions()}
        write_json(record_file, {"purpose": run.purpose, "run": trained, "measured_on": by, "measured": measured})


def require_as_listed(run: Run, record: RunRecord, folder: Path) -> None:
    """Refuse a training of other options than the list says.

    Raises:
        UserError: for such a training.
    """
    found = (record.trainer, record.seed, record.plan, record.iterations)
    if found != (run.trainer, run.seed, run.plan, run.updates):
        raise UserError(f"{folder} is a training of {found}, not the one that study_runs.py lists.")
    for setting in run.settings:
        name, _, value = setting.partition("=")
        recorded = record.options.get(name)
        if str(recorded) != value and not (isinstance(recorded, int | float) and float(value) == recorded):
            raise UserError(f"{folder} was trained with {name}={recorded}; study_runs.py wants {value}.")


def _validated(folder: Path) -> StepScores:
    """The scores that `train` ended with.

    Raises:
        UserError: when they are of other weights or another sampling.
    """
    summary = load_summary(folder / VALIDATION / SUMMARY)
    sampling = summary.notes["sampling"]
    if summary.notes["checkpoint"] != "last" or (sampling["sampler"], sampling["steps"]) != ("ddpm", STEPS):
        raise UserError(f"{folder / VALIDATION} is of {summary.notes}; `autodiffseg validate` makes it anew.")
    keys = list(summary.classes)
    values = {
        metric: np.array([[[[case.metrics[key][metric] for key in keys]]] for case in summary.cases], dtype=np.float64)
        for metric in METRICS
    }
    last = STEPS if summary.notes["passes"] > 1 else 1
    return StepScores(tuple(summary.classes.values()), tuple(case.case for case in summary.cases), values, last)


def _predicted(study: Study, run: Run, workspace: Workspace, one: Wanted) -> StepScores:
    request = SourceRequest(folds=(study.fold,), mirroring=one.part.mirroring)
    source = AnalysisSource(study.model(run, workspace), workspace, request)
    sampler = None if one.part.sampler == "none" else one.part.sampler
    sampling = choose_sampling(source.first.plan, one.part.steps, sampler)
    return source.score(sampling, samples=one.samples, last_step=not one.every_step, on_sample=lambda: None)
