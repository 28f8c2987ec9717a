"""PredictionJob: what predict was asked for, and carrying it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autodiffseg import __version__
from autodiffseg.errors import UserError
from autodiffseg.sampling import SamplingRequest

from .model_folder import find_checkpoints
from .prediction_folder import (
    PredictionRecord,
    check_folders,
    parse_part,
    prepare_output,
    select_cases,
    write_dataset_json,
)
from .prediction_options import PredictionOptions, WantedOutputs


@dataclass(frozen=True)
class PredictionJob:
    """What the user asked for, as typed."""

    source: Path
    out: Path
    model: Path
    folds: tuple[str, ...]
    checkpoint: str
    sampling: SamplingRequest
    """What is None is the plan's."""
    options: PredictionOptions
    wanted: WantedOutputs
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
    checkpoints = find_checkpoints(job.model, job.folds, job.checkpoint)

    # Imported once the call is known to be sound: torch takes seconds. The weights hold what the images are checked
    # against: number of channels and file ending.
    from autodiffseg.prediction_inputs import check_prediction_inputs

    from .member import Member
    from .model_folder import checkpoint_id, load_models
    from .precision import choose_device, choose_precision
    from .prediction import choose_sampling
    from .prediction_cases import predict_cases
    from .prediction_outputs import PredictionOutputs
    from .prediction_request import PredictionRequest
    from .previous_stage import load_previous_stage

    device = choose_device(job.device)
    asked = PredictionRequest(device, choose_precision(job.precision, device), job.sampling, job.options)
    models = load_models(checkpoints, device=device, precision=asked.precision)
    first = models[0]
    sampling = choose_sampling(first.plan, *asked.sampling)
    samples = job.options.samples
    if samples > 1 and first.passes(sampling.model_copy(update={"steps": 2})) == 1:
        raise UserError(
            f"--num-samples {samples}: {job.model.name} answers in one pass and draws no noise, so all would be equal."
        )
    previous = load_previous_stage(job.model, first, asked)
    bad: dict[str, str] = {}
    dataset = first.dataset
    files = check_prediction_inputs(job.source, dataset.file_ending, len(dataset.channels), unreadable=bad)
    record = PredictionRecord(
        input=str(job.source.resolve()),
        model=str(job.model.resolve()),
        checkpoint=job.checkpoint,
        checkpoints={fold: checkpoint_id(path) for fold, path in checkpoints.items()},
        previous_model=str(previous.model.resolve()) if previous else "",
        previous_checkpoints=previous.checkpoints if previous else {},
        configuration=first.configuration_name,
        sampling=sampling,
        device=str(device),
        precision=asked.precision,
        versions=_versions(),
        **job.options.model_dump(),
    )
    chosen = select_cases(sorted({*files, *bad}), chosen_part)
    outputs = PredictionOutputs(job.out, dataset.file_ending, job.wanted, samples=samples)
    prepare_output(outputs, record, dataset, chosen, go_on=job.go_on)

    bad = {case: fault for case, fault in bad.items() if case in chosen}
    todo = {case: files[case] for case in chosen if case in files}
    if job.go_on:
        todo = {case: paths for case, paths in todo.items() if not outputs.is_done(case)}
    used = f"{job.model.name}, fold {', '.join(checkpoints)} ({job.checkpoint})"
    console.print(f"Predicting {len(todo)} of {len(chosen)} cases: {used}.", soft_wrap=True)
    if previous:
        stage = f"{previous.model.name}, fold {', '.join(previous.checkpoints)} (last)"
        console.print(f"It is shown the segmentations of {stage}.", soft_wrap=True)
    members = [Member(asked.predictor(models), first.plan, first.configuration_name, first.spec, previous)]
    outcomes = _with_progress(predict_cases(members, todo, outputs), len(todo), console)
    bad |= {case: fault for case, fault in outcomes if fault is not None}
    for folder in outputs.subfolders():
        write_dataset_json(folder, dataset)
    console.print(f"Label maps are in {job.out}.", soft_wrap=True)
    if bad:
        typer.echo(f"{len(bad)} of {len(chosen)} cases could not be predicted:", err=True)
        for case, fault in sorted(bad.items()):
            typer.echo(f"  {case}: {fault}", err=True)
        raise typer.Exit(1)


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
