"""PredictionJob: what predict was asked for, and carrying it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
from .prediction_options import PredictionOptions, Resources, WantedOutputs

if TYPE_CHECKING:
    from .loaded_model import LoadedModel
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
    """Predict all cases of a job and tell the user.

    Raises:
        UserError: when it cannot be done; before any work, and before earlier predictions are touched.
        typer.Exit: at the end, when single cases could not be predicted.
    """
    chosen_part = parse_part(job.part)
    check_folders(job.source, job.out)
    check_models(job.models, job.folds, job.checkpoint)

    # Imported once the call is known to be sound: torch takes seconds. The weights hold what the images are checked
    # against: number of channels and file ending.
    from autodiffseg.prediction_inputs import check_prediction_inputs
    from autodiffseg.uncertainty.case_uncertainty import write_table

    from .chosen_postprocessing import choose_postprocessing
    from .colour_output import colour_outputs
    from .model_set import load_model_set, refuse_contradictions
    from .precision import choose_device, choose_precision
    from .prediction_cases import predict_cases
    from .prediction_memory import forecast
    from .prediction_outputs import PredictionOutputs
    from .prediction_request import PredictionRequest

    device = choose_device(job.device)
    asked = PredictionRequest(device, choose_precision(job.precision, device), job.sampling, job.options)
    models = load_model_set(job.models, job.folds, job.checkpoint, asked, folds_apart=job.wanted.uncertainty)
    refuse_contradictions(models, job.options, job.wanted)
    bad: dict[str, str] = {}
    dataset = models[0].dataset
    cleaning = choose_postprocessing(job.models, dataset.spec, file=job.postprocessing, wanted=job.postprocess)
    files = check_prediction_inputs(job.source, dataset.file_ending, len(dataset.channels), unreadable=bad)
    record = PredictionRecord(
        input=str(job.source.resolve()),
        checkpoint=job.checkpoint,
        models=tuple(model.record() for model in models),
        postprocessing=cleaning.rules,
        device=str(device),
        precision=asked.precision,
        versions=_versions(),
        **job.options.model_dump(),
    )
    chosen = select_cases(sorted({*files, *bad}), chosen_part)
    extras = (_uncertainty(job, models),) if job.wanted.uncertainty else ()
    outputs = PredictionOutputs(
        job.out,
        dataset.file_ending,
        job.wanted,
        samples=job.options.samples,
        finishing=(cleaning,) if cleaning.rules else (),
        extras=(*extras, *colour_outputs(job.out, dataset.file_ending, dataset.spec)),
    )
    prepare_output(outputs, record, dataset, chosen, go_on=job.go_on)

    bad = {case: fault for case, fault in bad.items() if case in chosen}
    todo = {case: files[case] for case in chosen if case in files}
    if job.go_on:
        todo = {case: paths for case, paths in todo.items() if not outputs.is_done(case)}
    for line in _headline(models, job.checkpoint, len(todo), len(chosen)):
        console.print(line, soft_wrap=True)
    if cleaning.told:
        console.print(cleaning.told, soft_wrap=True, markup=False)
    members = [member for model in models for member in model.members]
    steps = max(model.sampling.steps if job.wanted.steps and model.member.draws else 1 for model in models)
    if line := forecast(members, todo.values(), outputs, job.resources, steps=steps):
        console.print(line, soft_wrap=True)
    with closing(predict_cases(members, todo, outputs, job.resources)) as outcomes:
        ended = _with_progress(outcomes, len(todo), console)
        bad |= {case: fault for case, fault in ended if fault is not None}
    for folder in outputs.subfolders():
        write_dataset_json(folder, dataset)
    console.print(f"Label maps are in {job.out}.", soft_wrap=True)
    table = write_table(job.out)
    for extra in extras:
        told = extra.errors.told
        console.print(f"Uncertainties are in {table}; 90 % intervals of volumes: {told}.", soft_wrap=True)
    if bad:
        typer.echo(f"{len(bad)} of {len(chosen)} cases could not be predicted:", err=True)
        for case, fault in sorted(bad.items()):
            typer.echo(f"  {case}: {fault}", err=True)
        raise typer.Exit(1)


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


def _with_progress(
    outcomes: Iterator[tuple[str, str | None]], total: int, console: Console
) -> Iterator[tuple[str, str | None]]:
    """A progress bar over the cases."""
    columns = (TextColumn("{task.description:<25}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield from progress.track(outcomes, total=total, description="Predicting")
