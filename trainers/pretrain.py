"""The command pretrain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from autodiffseg.command_options import (
    DatasetArgument,
    DeviceOption,
    PlanOption,
    PrecisionOption,
    ProcessesOption,
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
    unlabelled: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Of images without labels; may be repeated. Default: those that dataset.json lists as unlabelled.",
        ),
    ] = None,
    with_training_images: Annotated[
        bool, typer.Option("--with-training-images", help="Learn from the training images of --fold too.")
    ] = False,
    fold: Annotated[
        str | None, typer.Option(help="Of --with-training-images: 0 to 4, or 'all'. It serves this fold alone.")
    ] = None,
    held_out: Annotated[
        list[Path] | None,
        typer.Option(
            "--held-out",
            metavar="FOLDER",
            help="Of other images that will be tested on, as those of --shifted; may be repeated.",
        ),
    ] = None,
    transductive: Annotated[
        bool, typer.Option("--transductive", help="Let images of labelled and test cases in; this is recorded.")
    ] = False,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Pass over images that cannot be read or mean nothing.")
    ] = False,
    plan: PlanOption = None,
    tag: Annotated[str, typer.Option(help="Tells pretrainings apart that are otherwise alike.")] = "",
    seed: SeedOption = 0,
    go_on: ContinueOption = False,
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    iterations: IterationsOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Set an option of the pretraining; may be repeated."),
    ] = None,
    workers: WorkersOption = None,
    processes: ProcessesOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Train a denoiser on images without labels, for trainers that learn from few labels.

    The images are preprocessed with the plan of the labelled dataset, which must have been preprocessed. The network is
    the planned one; it learns to predict the noise in an image (DDPM, 1000 steps). Images of validation and test cases
    are refused, and those of --held-out. The run lies in results/DATASET/pretraining__PLAN__CONFIGURATION/pool:
    checkpoints, which hold the averaged weights, pretraining.json, progress.png, and samples/ with images that the
    network makes of noise.

    Ctrl-C stops after the current update and saves; --continue goes on from there, and the result is the same as
    without the interruption.

    Examples:

      autodiffseg pretrain JSRT 2d --unlabelled /data/CXR14/images

      autodiffseg pretrain JSRT 2d --with-training-images --fold 0 --plan cpu --iterations 20000

      autodiffseg pretrain 4 3d_fullres --unlabelled /data/more --set loss=l2 --continue
    """
    if with_training_images != (fold is not None):
        raise UserError("--with-training-images and --fold go together: say the training images of which fold.")
    from autodiffseg.dataloading.batches import default_workers
    from autodiffseg.preprocessing.parallel import default_processes
    from autodiffseg.workspace import Workspace

    from .precision import choose_device
    from .pretraining_setup import PretrainingRequest, prepare_pretraining
    from .training_progress import bar_when_needed, run_shown

    request = PretrainingRequest(
        dataset=dataset,
        configuration=configuration,
        unlabelled=unlabelled or (),
        fold=fold,
        held_out=held_out or (),
        transductive=transductive,
        skip_broken=skip_broken,
        plan=plan,
        tag=tag,
        seed=seed,
        iterations=iterations,
        device=device,
        precision=precision,
        settings=settings or (),
    )
    with bar_when_needed("Unlabelled images", console) as watch:
        loop, folder, notes = prepare_pretraining(
            request, Workspace(workspace), go_on=go_on, processes=processes or default_processes(), watch=watch
        )
    record = loop.record
    console.print(
        f"Pretraining on {record.dataset}, {record.configuration}: {record.iterations} updates, "
        f"{record.parameters / 1e6:.2f} M parameters, {record.device} {record.precision}.",
        soft_wrap=True,
    )
    loading = default_workers(choose_device(device).type) if workers is None else workers
    record = run_shown(loop, notes, console, workers=loading)
    console.print(f"Pretrained in {record.training_seconds / 60:.1f} minutes: {folder}", soft_wrap=True)
    told = fold if fold is not None else "0"
    place = "" if workspace is None else f" --workspace {workspace}"
    console.print(
        f"Next: autodiffseg train {record.dataset} {record.configuration} {told} --trainer tedm --plan {record.plan} "
        f"--backbone {folder}{place}",
        soft_wrap=True,
    )
