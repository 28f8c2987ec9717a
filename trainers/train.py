"""The command train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from autodiffseg.command_options import (
    LARGEST_LABEL_SEED,
    DatasetArgument,
    DeviceOption,
    PlanOption,
    PrecisionOption,
    WorkspaceOption,
)
from autodiffseg.errors import UserError

from .training_options import (
    ConfigurationArgument,
    ContinueOption,
    IterationsOption,
    SeedOption,
    WorkersOption,
)

console = Console(highlight=False)


def command(
    dataset: DatasetArgument,
    configuration: ConfigurationArgument,
    fold: Annotated[str, typer.Argument(help="0 to 4, or 'all' to train on every case.")],
    trainer: Annotated[
        str, typer.Option(help="supervised, diffusion, recycling, ensemble, … or package.module:Class of your own.")
    ] = "recycling",
    plan: PlanOption = None,
    tag: Annotated[str, typer.Option(help="Tells runs apart that are otherwise alike.")] = "",
    seed: SeedOption = 0,
    n_labelled: Annotated[
        int | None,
        typer.Option(
            "--n-labelled",
            min=1,
            help="Train on so many of the fold's training cases (or groups of such). Default: all.",
        ),
    ] = None,
    label_seed: Annotated[
        int | None,
        typer.Option(
            "--label-seed",
            min=0,
            max=LARGEST_LABEL_SEED,
            help="Of the order in which --n-labelled takes them. Default: 0.",
        ),
    ] = None,
    backbone: Annotated[
        Path | None,
        typer.Option(help="Of tedm, linear-probe, …: the checkpoint of pretrain, or its folder."),
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option("--from-scratch", help="Of finetune-ddpm: keep the random weights, in place of a --backbone."),
    ] = False,
    timesteps: Annotated[
        str | None, typer.Option(metavar="1,10,…", help="Of tedm, linear-probe, …: noise levels that are read.")
    ] = None,
    train_missing: Annotated[
        bool,
        typer.Option("--train-missing", help="Of a cascade: first train the folds of its previous stage that lack."),
    ] = False,
    go_on: ContinueOption = False,
    init_from: Annotated[
        Path | None, typer.Option(help="Start from the weights of this checkpoint, as far as they fit.")
    ] = None,
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    iterations: IterationsOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Set an option of the trainer; may be repeated."),
    ] = None,
    workers: WorkersOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Train one fold, then predict and score its validation cases.

    Ctrl-C stops after the current update and saves; --continue goes on from there, and the result is the same as
    without the interruption. The fold's folder gets run.json, checkpoints, progress.csv, progress.png and validation/.

    A cascade (3d_cascade_fullres) is shown what its previous stage makes of each case, by the fold that did not train
    on the case; so it needs all folds of 3d_lowres, by the same trainer, plan, tag and seed. Those that lack are
    listed, or trained first with --train-missing: a new one with the options given here (but --init-from), one that was
    begun to its end as it was begun.

    With --n-labelled all but a few training cases count as not labelled, and validation stays as it is. The cases of a
    small number are among those of a larger one of the same --label-seed. The tag gets n3-ls0, for 3 and seed 0.

    An ensemble trains what lacks of its members, each as a run of its own with these options, and validates the
    mean of their probabilities. Its own run has no weights; it names its members. By default they are supervised and
    recycling; --set members=… names others. --backbone, --timesteps and --from-scratch are for those members that have
    such an option; other settings are for all.

    tedm, ledm, ledme and linear-probe train a small head on the features of a frozen network that was pretrained on
    unlabelled images: --backbone names its checkpoint, which prediction does not need any more. finetune-ddpm trains
    the whole of that network on; with --from-scratch it begins with random weights, to show what those are worth.

    Examples:

      autodiffseg train Hippocampus 3d_fullres 0

      autodiffseg train Hippocampus 3d_fullres 0 --trainer ensemble --continue

      autodiffseg train 4 3d_fullres 0 --trainer supervised --plan cpu

      autodiffseg train 4 2d all --trainer diffusion --seed 1 --set learning_rate=0.001 --iterations 10000

      autodiffseg train 4 3d_cascade_fullres 0 --train-missing

      autodiffseg train 110 2d 0 --trainer supervised --n-labelled 3 --label-seed 1
    """
    from autodiffseg.dataloading.batches import default_workers
    from autodiffseg.workspace import Workspace

    from .precision import choose_device
    from .pretrained_settings import pretrained_settings
    from .run_request import RunRequest
    from .training_session import TrainingSession

    if label_seed is not None and n_labelled is None:
        raise UserError("--label-seed chooses among the cases for --n-labelled; give that too, or leave it out.")
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
        settings=[
            *(settings or ()),
            *pretrained_settings(
                trainer, settings or (), backbone=backbone, timesteps=timesteps, from_scratch=from_scratch
            ),
        ],
        n_labelled=n_labelled,
        label_seed=label_seed or 0,
    )
    session = TrainingSession(
        Workspace(workspace),
        default_workers(choose_device(device).type) if workers is None else workers,
        console,
        go_on=go_on,
        init_from=init_from,
        train_missing=train_missing,
    )
    folder = session.train(request)
    console.print(f"Next: autodiffseg predict -i IMAGES -o OUT --model {folder.parent}", soft_wrap=True)
