"""PredictionJob: what predict was asked for, and carrying it out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autodiffseg import __version__
from autodiffseg.sampling import SamplingRequest

from .model_choice import check_models
from .prediction_folder import (
    PredictionRecord,
    check_folders,
    parse_part,
    prepare_output,
    select_cases,
    write_dataset_json,
)
from .prediction_options import PredictionOptions, WantedOutputs
from .ranks import Ranks, device_name, join_ranks
from .resources import Resources

if TYPE_CHECKING:
    import torch

    from .chosen_postprocessing import ChosenPostprocessing
    from .loaded_model import LoadedModel
    from .member import Member
    from .prediction_outputs import PredictionOutputs
    from .uncertainty_output import UncertaintyOutput


@dataclass(frozen=True)
class PredictionJob:
    """What the user asked for, as typed."""

    source: Path
    out: Path
    models: tuple[Path, ...]
    folds: tuple[str, ...]
    checkpoint: str
    sampling: SamplingRequest
    """What is None is the plan's."""
    options: PredictionOptions
    wanted: WantedOutputs
    postprocessing: Path | None
    """Rules other than the models' own."""
    postprocess: bool
    """Whether components are removed at all."""
    resources: Resources
    part: str
    go_on: bool
    device: str | None
    precision: str


def run_prediction(job: PredictionJob, console: Console) -> None:
    """Predict all cases of a job and tell the user; under torchrun its processes share the cases, and the first tells.

    Raises:
        UserError: when it cannot be done; before any work, and before earlier predictions are touched.
        typer.Exit: at the end, when single cases could not be predicted.
    """
    with join_ranks() as ranks:
        if not ranks.is_first:
            console = Console(quiet=True)
            logging.getLogger("autodiffseg").setLevel(logging.ERROR)  # the first gives the same warnings
        ready, plan = ranks.prepare(partial(_load, job, ranks), partial(_prepare, job, ranks, console))
        _predict(job, ranks, ready, Plan.from_json(plan), console)


@dataclass(frozen=True)
class _Ready:
    """What a process needs to predict."""

    models: list[LoadedModel]
    device: torch.device
    precision: str
    cleaning: ChosenPostprocessing
    outputs: PredictionOutputs
    uncertainty: UncertaintyOutput | None
    """Also among the outputs."""

    @property
    def members(self) -> list[Member]:
        return [member for model in self.models for member in model.members]


class Plan(NamedTuple):
    """What is to be done, as the first process tells the others."""

    cases: int
    """All that were asked for."""
    todo: dict[str, tuple[Path, ...]]
    """Case -> image files in channel order, of those that are not done yet."""
    bad: dict[str, str]
    """Case -> why it cannot be read."""

    def to_json(self) -> dict[str, Any]:
        """Without paths."""
        todo = {case: [str(path) for path in paths] for case, paths in self.todo.items()}
        return {"cases": self.cases, "todo": todo, "bad": self.bad}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Plan:
        """The inverse of `to_json`."""
        todo = {case: tuple(map(Path, paths)) for case, paths in told["todo"].items()}
        return cls(told["cases"], todo, told["bad"])


def _load(job: PredictionJob, ranks: Ranks) -> _Ready:
    """Check the call and load the models; nothing is written.

    Raises:
        UserError: when something is missing, cannot be read or contradicts the models.
    """
    parse_part(job.part)
    check_folders(job.source, job.out)
    check_models(job.models, job.folds, job.checkpoint)

    # Imported once the call is known to be sound: torch takes seconds.
    from .chosen_postprocessing import choose_postprocessing
    from .colour_output import colour_outputs
    from .model_set import load_model_set, refuse_contradictions
    from .precision import choose_device, choose_precision
    from .prediction_outputs import PredictionOutputs
    from .prediction_request import PredictionRequest

    device = choose_device(device_name(job.device, ranks))
    asked = PredictionRequest(device, choose_precision(job.precision, device), job.sampling, job.options)
    models = load_model_set(job.models, job.folds, job.checkpoint, asked, folds_apart=job.wanted.uncertainty)
    refuse_contradictions(models, job.options, job.wanted)
    dataset = models[0].dataset
    cleaning = choose_postprocessing(
        job.models, job.folds, dataset.spec, file=job.postprocessing, wanted=job.postprocess
    )
    uncertainty = _uncertainty(job, models) if job.wanted.uncertainty else None
    outputs = PredictionOutputs(
        job.out,
        dataset.file_ending,
        job.wanted,
        samples=job.options.samples,
        finishing=(cleaning,) if cleaning.rules else (),
        extras=(
            *([uncertainty] if uncertainty is not None else []),
            *colour_outputs(job.out, dataset.file_ending, dataset.spec),
        ),
    )
    return _Ready(models, device, asked.precision, cleaning, outputs, uncertainty)


def _prepare(job: PredictionJob, ranks: Ranks, console: Console, ready: _Ready) -> dict[str, Any]:
    """Check the images, make the output folder and tell the user; the plan.

    Raises:
        UserError: before earlier predictions are touched.
    """
    from autodiffseg.file_hashes import hash_cases
    from autodiffseg.prediction_inputs import check_prediction_inputs
    from autodiffseg.preprocessing.parallel import default_processes

    from .prediction_memory import forecast

    models, outputs = ready.models, ready.outputs
    dataset, go_on = models[0].dataset, job.go_on or ranks.restarted
    bad: dict[str, str] = {}
    # The weights hold what the images are checked against: number of channels and file ending.
    files = check_prediction_inputs(job.source, dataset.file_ending, len(dataset.channels), unreadable=bad)
    chosen = select_cases(sorted({*files, *bad}), parse_part(job.part))
    bad = {case: fault for case, fault in bad.items() if case in chosen}
    todo = {case: files[case] for case in chosen if case in files and not (go_on and outputs.is_done(case))}
    record = PredictionRecord(
        input=str(job.source.resolve()),
        images=hash_cases(todo, threads=default_processes()),
        checkpoint=job.checkpoint,
        models=tuple(model.record() for model in models),
        postprocessing=ready.cleaning.rules,
        device=str(ready.device) if ranks.size == 1 else f"{ready.device.type}, {ranks.size} processes",
        precision=ready.precision,
        versions=_versions(),
        **job.options.model_dump(),
    )
    prepare_output(outputs, record, dataset, chosen, go_on=go_on)

    for line in _headline(models, job.checkpoint, len(todo), len(chosen)):
        console.print(line, soft_wrap=True)
    if ranks.size > 1:
        console.print(f"{ranks.size} processes share them.")
    if ready.cleaning.told:
        console.print(ready.cleaning.told, soft_wrap=True, markup=False)
    steps = max(model.steps if job.wanted.steps else 1 for model in models)
    if line := forecast(ready.members, todo.values(), outputs, _resources(job, ranks), steps=steps):
        console.print(line, soft_wrap=True)
    return Plan(len(chosen), todo, bad).to_json()


def _predict(job: PredictionJob, ranks: Ranks, ready: _Ready, plan: Plan, console: Console) -> None:
    """Predict, and sum up in the first process.

    Raises:
        UserError: in the first process, when another has failed.
        typer.Exit: in the first process, when single cases could not be predicted.
    """
    from autodiffseg.uncertainty.case_uncertainty import write_table

    from .prediction_cases import predict_cases

    outputs, resources = ready.outputs, _resources(job, ranks)
    bad = dict(plan.bad) if ranks.is_first else {}
    columns = (TextColumn("{task.description:<25}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        closing(predict_cases(ready.members, ranks.share(plan.todo), outputs, resources)) as outcomes,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task("Predicting", total=len(plan.todo))
        for done, (case, fault) in enumerate(outcomes, start=1):
            bad |= {case: fault} if fault is not None else {}
            progress.update(task, completed=ranks.one_done(done))
        bad = ranks.gather(bad, lambda done: progress.update(task, completed=done))
        progress.update(task, completed=len(plan.todo))
    if not ranks.is_first:
        return
    for folder in outputs.subfolders():
        write_dataset_json(folder, ready.models[0].dataset)
    console.print(f"Label maps are in {job.out}.", soft_wrap=True)
    table = write_table(job.out)
    if ready.uncertainty is not None:
        told = ready.uncertainty.errors.told
        console.print(f"Uncertainties are in {table}; 90 % intervals of volumes: {told}.", soft_wrap=True)
    if bad:
        typer.echo(f"{len(bad)} of {plan.cases} cases could not be predicted:", err=True)
        for case, fault in sorted(bad.items()):
            typer.echo(f"  {case}: {fault}", err=True)
        raise typer.Exit(1)


def _resources(job: PredictionJob, ranks: Ranks) -> Resources:
    """What this process may take; processes on one machine share its free memory."""
    if job.resources.memory_gb is not None or ranks.local_size == 1:
        return job.resources
    from .prediction_memory import memory_bytes

    return replace(job.resources, memory_gb=memory_bytes(job.resources) / ranks.local_size / 1e9)


def _uncertainty(job: PredictionJob, models: Sequence[LoadedModel]) -> UncertaintyOutput:
    """What is written of uncertainties; the intervals rest on the cross-validation of the folds that predict."""
    from autodiffseg.uncertainty.volume_errors import VolumeErrors, volume_errors

    from .uncertainty_output import UncertaintyOutput

    first = models[0]
    spec = first.dataset.spec
    if len(job.models) == 1:
        errors = volume_errors(job.models[0], first.checkpoints, spec, checkpoint=job.checkpoint)
    else:
        errors = VolumeErrors({}, "none: models that are put together here have no cross-validation in common")
    members = sum(len(model.members) for model in models)
    return UncertaintyOutput(job.out, first.dataset.file_ending, spec, members, job.options.samples, errors)


def _headline(models: Sequence[LoadedModel], checkpoint: str, todo: int, cases: int) -> Iterator[str]:
    """What is about to happen, in sentences."""
    used = [f"{model.folder.name}, fold {', '.join(model.checkpoints)} ({checkpoint})" for model in models]
    if len(models) == 1:
        yield f"Predicting {todo} of {cases} cases: {used[0]}."
    else:
        yield f"Predicting {todo} of {cases} cases: the mean of the probabilities of {len(models)} models."
        yield from (f"- {name}, weight {model.weight:.3g}" for name, model in zip(used, models, strict=True))
    for model in models:
        previous = model.member.previous
        if previous is not None:
            stage = f"{previous.model.name}, fold {', '.join(previous.checkpoints)} (last)"
            yield f"{'It' if len(models) == 1 else model.folder.name} is shown the segmentations of {stage}."


def _versions() -> dict[str, str]:
    import torch

    return {"autodiffseg": __version__, "torch": str(torch.__version__)}
