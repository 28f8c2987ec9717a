"""The command validate, and the end of the command train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autodiffseg.command_options import DatasetArgument, DeviceOption, PlanOption, PrecisionOption, WorkspaceOption
from autodiffseg.errors import UserError

if TYPE_CHECKING:
    from autodiffseg.sampling import SamplingRequest
    from autodiffseg.workspace import Workspace

    from .validation import TrainedFold

console = Console(highlight=False)


def command(
    dataset: DatasetArgument,
    configuration: Annotated[str, typer.Argument(help="2d, 3d_fullres, … as trained.")],
    fold: Annotated[str, typer.Argument(help="0 to 4, or 'all'.")],
    trainer: Annotated[str, typer.Option(help="As in train.")] = "recycling",
    plan: PlanOption = None,
    tag: Annotated[str, typer.Option(help="The run's tag, with seed-N if it had another seed than 0.")] = "",
    checkpoint: Annotated[str, typer.Option(help="last, or best: chosen on the very cases it is scored on.")] = "last",
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps. Default: the plan's.")] = None,
    sampler: Annotated[str | None, typer.Option(help="ddpm or ddim. Default: the plan's.")] = None,
    eta: Annotated[
        float | None, typer.Option(help="Of ddim: share of fresh noise, 0 (none) to 1. Default: the plan's.")
    ] = None,
    variance: Annotated[
        str | None, typer.Option(help="Of ddpm: fixed-small or fixed-large. Default: the plan's.")
    ] = None,
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    workspace: WorkspaceOption = None,
) -> None:
    """Predict the validation cases of a fold whole, and score them: validation/ with summary.json.

    `train` does this at its end; this command does it again, for example with other sampling steps. An unfinished
    training is validated as it stands. When all folds are validated alike, with their last checkpoints, the run gets
    its postprocessing.json (see `autodiffseg postprocess`).

    Examples:

      autodiffseg validate Hippocampus 3d_fullres 0

      autodiffseg validate 4 3d_fullres 0 --trainer diffusion --plan cpu --steps 10 --sampler ddim
    """
    from autodiffseg.runs import fold_folder, run_name
    from autodiffseg.sampling import SamplingRequest
    from autodiffseg.workspace import Workspace

    from .checkpoints import load_trainer
    from .ensemble_run import load_members, refresh_record
    from .model_folder import find_checkpoints
    from .precision import choose_device
    from .validation import TrainedFold

    place = Workspace(workspace)
    name = place.planned_dataset(dataset)
    run = place.results(name) / run_name(trainer, place.choose_plan(name, plan), configuration, tag)
    if not run.is_dir():
        known = ", ".join(path.name for path in sorted(place.results(name).glob("*__*"))) or "nothing yet"
        raise UserError(f"{run} does not exist; {name} has: {known}. Train it with `autodiffseg train`.")
    folder, chosen_device = fold_folder(run, fold), choose_device(device)
    members = refresh_record(folder)
    if members:
        folds = load_members(members, checkpoint, chosen_device, precision)
    else:
        path = find_checkpoints(run, (fold,), checkpoint)[fold]
        folds = [TrainedFold(load_trainer(path, chosen_device, precision), folder)]
    run_validation(folds, folder, place, SamplingRequest(steps, sampler, eta, variance), checkpoint=checkpoint)


def run_validation(
    folds: Sequence[TrainedFold],
    folder: Path,
    workspace: Workspace,
    asked: SamplingRequest | None = None,
    *,
    checkpoint: str = "last",
) -> None:
    """Validate a fold, or an ensemble's by its members, and print its scores; without `asked` sampled as planned."""
    from autodiffseg.postprocessing.record import FILE
    from autodiffseg.runs import RECORD, RunRecord

    from .model_postprocessing import find_when_complete
    from .validation import validate_fold

    columns = (TextColumn("Validating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("validate", total=None)
        summary = validate_fold(
            folds,
            folder,
            workspace,
            asked=asked,
            checkpoint=checkpoint,
            on_start=lambda count: progress.update(task, total=count),
            on_case=lambda case: progress.advance(task),
        )
    console.print(
        f"Validation: mean foreground Dice {summary.foreground_mean['Dice']:.4f} over {len(summary.cases)} cases.",
        soft_wrap=True,
    )
    run = folder.parent
    try:
        found = find_when_complete(run, RunRecord.load(folder / RECORD), folds[0].trainer.dataset, workspace)
    except UserError as error:  # something of another fold; what was trained and validated now is sound
        console.print(f"Note: no rules of postprocessing were found: {error}", soft_wrap=True, markup=False)
        return
    if found is not None:
        told = "; ".join(map(str, found.rules)) or "no rule helps"
        console.print(f"All folds are validated. Postprocessing ({run / FILE}): {told}.", soft_wrap=True, markup=False)
