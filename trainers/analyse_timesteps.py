"""The command `analyse timesteps`: a linear probe on every noise level alone (the TEDM paper's first finding)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autodiffseg.command_options import (
    LARGEST_LABEL_SEED,
    DatasetArgument,
    DeviceOption,
    PlanOption,
    PrecisionOption,
    ShiftedOption,
    WorkspaceOption,
)

from .training_options import ConfigurationArgument, WorkersOption

USUAL_TIMESTEPS = "1,10,25,50,200,500,800,950"


def command(
    dataset: DatasetArgument,
    configuration: ConfigurationArgument,
    backbone: Annotated[Path, typer.Option("--backbone", help="Checkpoint of pretrain, or the folder that holds it.")],
    fold: Annotated[str, typer.Option(help="Its validation cases are scored.")] = "0",
    timesteps: Annotated[
        str, typer.Option(metavar="1,10,…", help="Base steps, each read by a probe of its own.")
    ] = USUAL_TIMESTEPS,
    trainer: Annotated[
        str, typer.Option(help="The read-out; tedm reads each step with its perceptron.")
    ] = "linear-probe",
    n_labelled: Annotated[
        int | None, typer.Option("--n-labelled", min=1, help="As in train: so many labels. Default: all.")
    ] = None,
    label_seed: Annotated[int, typer.Option("--label-seed", min=0, max=LARGEST_LABEL_SEED, help="As in train.")] = 0,
    shifted: ShiftedOption = None,
    plan: PlanOption = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Updates of each probe. Default: the plan's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="As in train; may be repeated.")
    ] = None,
    tag: Annotated[str, typer.Option(help="Tells these probes from others; each gets its step, as in t10.")] = "",
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    workers: WorkersOption = None,
    workspace: WorkspaceOption = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the files. Default: timesteps/ in the results.")
    ] = None,
) -> None:
    """Train a linear probe on the features of every noise level: which of them know the anatomy?

    Each step of the pretrained denoiser gets a probe, a run of its own with the step in its tag; what has been trained
    is not trained again, what was begun goes on. With --shifted, labelled images of another domain are predicted too
    and scored on the classes that their own dataset.json declares. Written: timesteps.md, timesteps.csv,
    timesteps_cases.csv and timesteps.png.

    Examples:

      autodiffseg analyse timesteps JSRT 2d --backbone results/Dataset110_JSRT/pretraining__cpu__2d/pool

      autodiffseg analyse timesteps JSRT 2d --backbone CHECKPOINT --timesteps 1,10,500 --n-labelled 1 --iterations 500
    """
    from autodiffseg.dataloading.batches import default_workers
    from autodiffseg.dataset import DatasetJson
    from autodiffseg.evaluation.shifted_set import read_shifted_set
    from autodiffseg.evaluation.timestep_tables import timestep_cases_csv, timestep_panels, timesteps_table
    from autodiffseg.folds import require_held_out
    from autodiffseg.workspace import Workspace

    from .analysis_report import console, report
    from .precision import choose_device
    from .pretrained_settings import pretrained_settings, require_option
    from .run_request import RunRequest
    from .timestep_probes import TimestepProbes, read_timesteps
    from .training_session import TrainingSession

    place = Workspace(workspace)
    steps = read_timesteps(timesteps)
    require_held_out([fold])
    require_option(trainer, "timesteps")
    name = place.planned_dataset(dataset)
    declared = DatasetJson.load(place.dataset_json_path(name))
    shifted_set = read_shifted_set(*shifted, model=declared) if shifted is not None else None
    request = RunRequest(
        dataset=dataset,
        configuration=configuration,
        fold=fold,
        trainer=trainer,
        plan=plan,
        tag=tag,
        seed=0,
        iterations=iterations,
        device=device,
        precision=precision,
        settings=[
            *(settings or ()),
            *pretrained_settings(trainer, settings or (), backbone=backbone, timesteps=None),
        ],
        n_labelled=n_labelled,
        label_seed=label_seed,
    )
    count = default_workers(choose_device(device).type) if workers is None else workers
    session = TrainingSession(place, count, console, go_on=True)
    probes = TimestepProbes(session, request, backbone, declared, shifted_set)
    for step in steps:
        probes.decibels(step)  # before work starts
    read = [probes.read(step) for step in steps]
    labels = "all labels" if n_labelled is None else f"{n_labelled} labels of seed {label_seed}"
    notes = [
        f"{trainer} on {backbone}, fold {fold}, {labels}; a training for each step, so two steps differ by chance too.",
        "SNR: of the image with the step's noise, for images of variance 1, as normalisation makes them.",
    ]
    table = timesteps_table(read, title=f"{name}: what each noise level knows", notes=notes)
    report(
        out or place.results(name) / "timesteps",
        "timesteps",
        table,
        timestep_cases_csv(read),
        panels=timestep_panels(read),
        positions=steps,
        xlabel="base step that is read",
        logarithmic=min(steps) > 0,
    )
