"""The command predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autodiffseg import __version__
from autodiffseg.command_options import DeviceOption
from autodiffseg.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

console = Console(highlight=False)


def command(
    source: Annotated[
        Path, typer.Option("-i", "--input", help="Folder of CASE_0000.ext files, or one of them for its case alone.")
    ],
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder for the label maps CASE.ext.")],
    model: Annotated[Path, typer.Option("--model", help="Folder of a trained model: the one that holds fold_0.")],
    folds: Annotated[
        list[str] | None,
        typer.Option("--fold", help="Use this fold; may be repeated. Default: all finished folds together."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps. Default: the plan's.")] = None,
    sampler: Annotated[str | None, typer.Option(help="ddpm or ddim. Default: the plan's.")] = None,
    eta: Annotated[
        float | None, typer.Option(help="Of ddim: share of fresh noise, 0 (none) to 1. Default: the plan's.")
    ] = None,
    variance: Annotated[
        str | None, typer.Option(help="Of ddpm: fixed-small or fixed-large. Default: the plan's.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    step_size: Annotated[
        float, typer.Option(min=0.05, max=1.0, help="Distance of the windows as a fraction of the patch.")
    ] = 0.5,
    mirroring: Annotated[
        bool, typer.Option("--mirroring/--no-mirroring", help="Average over the plan's mirror axes; slower, better.")
    ] = True,
    checkpoint: Annotated[
        str, typer.Option(help="last, or best: chosen on the validation cases, so no fair test on them.")
    ] = "last",
    part: Annotated[
        str, typer.Option(metavar="I/N", help="Predict every N-th case from the I-th on, to share the work.")
    ] = "0/1",
    go_on: Annotated[bool, typer.Option("--continue", help="Skip cases that are there already.")] = False,
    device: DeviceOption = None,
    precision: Annotated[
        str, typer.Option(help="auto, fp32, bf16 or fp16. auto: the fastest that the device does well.")
    ] = "auto",
    save_probabilities: Annotated[
        bool, typer.Option("--save-probabilities", help="Write CASE.npz too: probabilities (K, Z, Y, X), float16.")
    ] = False,
    save_steps: Annotated[
        bool, typer.Option("--save-steps", help="Write what each sampling step predicts too: step_1/CASE.ext, …")
    ] = False,
    samples: Annotated[
        int,
        typer.Option(
            "--num-samples", min=1, help="Draw each case so often and average; each draw is in sample_0/CASE.ext, …"
        ),
    ] = 1,
) -> None:
    """Segment new images with a trained model.

    Each label map has the geometry of its image. Probabilities are averaged over windows, mirrored versions and folds.
    OUTPUT also gets dataset.json (for `evaluate`) and predict.json (how the predictions came about); earlier
    predictions of the same cases are removed first, unless you say --continue. A case that cannot be read does not stop
    the others; it is named at the end, and the exit code is 1. A cascade runs its previous stage by itself: all
    finished folds of the model that was trained before it and lies beside it, with the same options.

    Examples:

      autodiffseg predict -i imagesTs -o predictions --model results/Dataset004_Hippocampus/recycling__cpu__3d_fullres

      autodiffseg predict -i scan_0000.nii.gz -o predictions --model … --fold 0 --steps 10 --sampler ddim
    """
    from .model_folder import find_checkpoints
    from .prediction_folder import check_folders, parse_part

    chosen_part = parse_part(part)
    check_folders(source, out)
    checkpoints = find_checkpoints(model, folds or (), checkpoint)

    # The weights hold what the images are checked against: number of channels and file ending.
    from autodiffseg.prediction_inputs import check_prediction_inputs
    from autodiffseg.sampling import SamplingRequest

    from .model_folder import checkpoint_id, load_models
    from .precision import choose_device, choose_precision
    from .prediction import choose_sampling, predict_cases
    from .prediction_folder import PredictionRecord, prepare_output, select_cases, write_dataset_json
    from .prediction_outputs import PredictionOutputs
    from .prediction_request import PredictionRequest
    from .previous_stage import load_previous_stage

    chosen_device = choose_device(device)
    chosen_precision = choose_precision(precision, chosen_device)
    asked = PredictionRequest(
        chosen_device,
        chosen_precision,
        SamplingRequest(steps, sampler, eta, variance),
        seed=seed,
        step_size=step_size,
        mirroring=mirroring,
    )
    models = load_models(checkpoints, device=chosen_device, precision=chosen_precision)
    first = models[0]
    configuration = first.configuration_name
    sampling = choose_sampling(first.plan, *asked.sampling)
    if samples > 1 and first.passes(sampling.model_copy(update={"steps": 2})) == 1:
        raise UserError(
            f"--num-samples {samples}: {model.name} answers in one pass and draws no noise, so all would be equal."
        )
    previous = load_previous_stage(model, first, asked)
    bad: dict[str, str] = {}
    dataset = first.dataset
    files = check_prediction_inputs(source, dataset.file_ending, len(dataset.channels), unreadable=bad)
    record = PredictionRecord(
        input=str(source.resolve()),
        model=str(model.resolve()),
        checkpoint=checkpoint,
        checkpoints={fold: checkpoint_id(path) for fold, path in checkpoints.items()},
        previous_model=str(previous.model.resolve()) if previous else "",
        previous_checkpoints=previous.checkpoints if previous else {},
        configuration=configuration,
        sampling=sampling,
        seed=seed,
        samples=samples,
        step_size=step_size,
        mirroring=mirroring,
        device=str(chosen_device),
        precision=chosen_precision,
        versions=_versions(),
    )
    chosen = select_cases(sorted({*files, *bad}), chosen_part)
    outputs = PredictionOutputs(
        out, dataset.file_ending, probabilities=save_probabilities, steps=save_steps, samples=samples
    )
    prepare_output(outputs, record, dataset, chosen, go_on=go_on)

    bad = {case: fault for case, fault in bad.items() if case in chosen}
    todo = {case: files[case] for case in chosen if case in files}
    if go_on:
        todo = {case: paths for case, paths in todo.items() if not outputs.is_done(case)}
    console.print(
        f"Predicting {len(todo)} of {len(chosen)} cases: {model.name}, fold {', '.join(checkpoints)} ({checkpoint}).",
        soft_wrap=True,
    )
    if previous:
        stage = f"{previous.model.name}, fold {', '.join(previous.checkpoints)} (last)"
        console.print(f"It is shown the segmentations of {stage}.", soft_wrap=True)
    outcomes = predict_cases(
        asked.predictor(models),
        todo,
        outputs,
        plan=first.plan,
        configuration=configuration,
        spec=first.spec,
        previous=previous,
    )
    bad |= {case: fault for case, fault in _with_progress(outcomes, len(todo)) if fault is not None}
    for folder in outputs.subfolders():
        write_dataset_json(folder, dataset)
    console.print(f"Label maps are in {out}.", soft_wrap=True)
    if bad:
        typer.echo(f"{len(bad)} of {len(chosen)} cases could not be predicted:", err=True)
        for case, fault in sorted(bad.items()):
            typer.echo(f"  {case}: {fault}", err=True)
        raise typer.Exit(1)


def _versions() -> dict[str, str]:
    import torch

    return {"autodiffseg": __version__, "torch": str(torch.__version__)}


def _with_progress(outcomes: Iterator[tuple[str, str | None]], total: int) -> Iterator[tuple[str, str | None]]:
    """A progress bar over the cases."""
    columns = (TextColumn("{task.description:<25}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield from progress.track(outcomes, total=total, description="Predicting")
