"""The command train."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from autodiffseg.command_options import DatasetArgument, DeviceOption, PlanOption, WorkspaceOption

if TYPE_CHECKING:
    from autodiffseg.preprocessing.previous_stage import Watch
    from autodiffseg.workspace import Workspace

    from .loop import Loop
    from .missing_folds import Job

console = Console(highlight=False)


def command(
    dataset: DatasetArgument,
    configuration: Annotated[str, typer.Argument(help="2d, 3d_fullres, … as planned.")],
    fold: Annotated[str, typer.Argument(help="0 to 4, or 'all' to train on every case.")],
    trainer: Annotated[
        str, typer.Option(help="supervised, diffusion, recycling, or package.module:Class of your own.")
    ] = "recycling",
    plan: PlanOption = None,
    tag: Annotated[str, typer.Option(help="Tells runs apart that are otherwise alike.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of weights, batches and noise; other than 0 it joins the tag.")] = 0,
    train_missing: Annotated[
        bool,
        typer.Option("--train-missing", help="Of a cascade: first train the folds of its previous stage that lack."),
    ] = False,
    go_on: Annotated[bool, typer.Option("--continue", help="Go on from the last checkpoint, if there is one.")] = False,
    init_from: Annotated[
        Path | None, typer.Option(help="Start from the weights of this checkpoint, as far as they fit.")
    ] = None,
    device: DeviceOption = None,
    precision: Annotated[
        str, typer.Option(help="auto, fp32, bf16 or fp16. auto: the fastest that the device does well.")
    ] = "auto",
    iterations: Annotated[int | None, typer.Option(min=1, help="Network updates. Default: the plan's.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Set an option of the trainer; may be repeated."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--num-workers", min=0, help="Data loading processes. They do not change the result.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Train one fold, then predict and score its validation cases.

    Ctrl-C stops after the current update and saves; --continue goes on from there, and the result is the same as
    without the interruption. The fold's folder gets run.json, checkpoints, progress.csv, progress.png and validation/.

    A cascade (3d_cascade_fullres) is shown what its previous stage makes of each case, by the fold that did not train
    on the case; so it needs all folds of 3d_lowres, by the same trainer, plan, tag and seed. Those that lack are
    listed, or trained first with --train-missing: a new one with the options given here (but --init-from), one that was
    begun to its end as it was begun.

    Examples:

      autodiffseg train Hippocampus 3d_fullres 0

      autodiffseg train 4 3d_fullres 0 --trainer supervised --plan cpu

      autodiffseg train 4 2d all --trainer diffusion --seed 1 --set learning_rate=0.001 --iterations 10000

      autodiffseg train 4 3d_cascade_fullres 0 --train-missing
    """
    from autodiffseg.dataloading.batches import default_workers
    from autodiffseg.workspace import Workspace

    from .missing_folds import MissingFoldsError
    from .precision import choose_device
    from .run_request import RunRequest
    from .run_setup import prepare

    request = RunRequest(
        dataset=dataset,
        configuration=configuration,
        fold=fold,
        trainer=trainer,
        plan=plan,
        tag=tag,
        seed=seed,
        iterations=iterations,
        device=device,
        precision=precision,
        settings=settings or (),
    )
    place = Workspace(workspace)
    if workers is None:
        workers = default_workers(choose_device(device).type)
    jobs: Sequence[Job] = ()
    with _previous_stage_bar() as watch:
        try:
            prepared = prepare(request, place, go_on=go_on, init_from=init_from, watch=watch)
        except MissingFoldsError as error:
            if not train_missing:
                raise
            jobs = error.jobs
    if jobs:
        for job in jobs:
            _make_missing(job, place, workers)
        with _previous_stage_bar() as watch:
            prepared = prepare(request, place, go_on=go_on, init_from=init_from, watch=watch)
    folder = _train(*prepared, place, workers)
    console.print(f"Next: autodiffseg predict -i IMAGES -o OUT --model {folder.parent}", soft_wrap=True)


@contextmanager
def _previous_stage_bar() -> Iterator[Watch]:
    """A progress bar that appears when a cascade's previous segmentations are brought to its grid."""
    columns = (TextColumn("Previous stage"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as stack:

        def watch(cases: int) -> Callable[[], None]:
            progress = stack.enter_context(Progress(*columns, console=console))
            task = progress.add_task("previous stage", total=cases)
            return lambda: progress.advance(task)

        yield watch


def _make_missing(job: Job, place: Workspace, workers: int) -> None:
    """Train a fold of a previous stage to its end and validate it, or do the latter alone."""
    from .run_setup import load_finished, prepare
    from .validate import run_validation

    if not job.trained:
        _train(*prepare(job.request, place, go_on=True, init_from=None), place, workers)
        return
    trainer, folder = load_finished(job.request, place)
    console.print(f"{job.request.configuration}, fold {job.request.fold} is trained and lacks its validation.")
    run_validation(trainer, folder, place)


def _train(loop: Loop, folder: Path, notes: Sequence[str], place: Workspace, workers: int) -> Path:
    """Train and validate a prepared fold with progress bars; its folder."""
    from .forecast import Forecast
    from .validate import run_validation

    record = loop.record
    console.print(
        f"Training {record.trainer} on {record.dataset}, {record.configuration}, fold {record.fold}: "
        f"{record.iterations} updates, {record.parameters / 1e6:.2f} M parameters, {record.device} {record.precision}.",
        soft_wrap=True,
    )
    forecast = Forecast(loop)
    for note in (*notes, *forecast.lines()):
        console.print(note, soft_wrap=True, markup=False)
    columns = (
        TextColumn("Training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[news]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("train", total=record.iterations, completed=loop.update, news="")

        def show(update: int, row: dict[str, float]) -> None:
            news = f"loss {row['loss']:.3f}, {row['updates_per_second']:.1f} updates/s" if row else ""
            progress.update(task, completed=update, news=news)
            forecast.after_update(update)

        record = loop.run(workers=workers, on_update=show)
    console.print(f"Trained in {record.training_seconds / 60:.1f} minutes: {folder}", soft_wrap=True)
    loop.trainer.network.eval()
    run_validation(loop.trainer, folder, place)
    return folder
