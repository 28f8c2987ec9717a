"""The command plan-and-preprocess."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from autodiffseg.command_options import DatasetArgument, ProcessesOption, WorkspaceOption
from autodiffseg.errors import UserError

if TYPE_CHECKING:
    from .preparation import Prepared

FINEST_MM = 1e-4  # finer than any microscope of tissue
SMALLEST_IMAGE = 8  # pixels: fewer cannot be halved and still be worth a convolution

Numbers = TypeVar("Numbers", bound=tuple[float, ...])

# No markup: names of files, channels and keys may have brackets.
console = Console(highlight=False, markup=False)


def command(
    dataset: DatasetArgument,
    configurations: Annotated[
        list[str] | None,
        typer.Option("-c", "--configuration", help="Preprocess this one; may be repeated. Default: all in the plan."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="default (if none is given): for a GPU with 10 GB. residual-m, -l, -xl: a residual encoder for 11, "
            "24, 40 GB. imgx-unet: the recycling paper's network, for 24 GB. cpu: a small network for two cores.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the plan. Default: that of the preset or source.")
    ] = None,
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            "--overwrite-target-spacing",
            metavar="Z Y X",
            help="Resample to this spacing, mm in the order of the array. Default: found from the cases.",
        ),
    ] = None,
    target_size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            "--target-size",
            metavar="Y X",
            help="2D images without physical spacing: resample every image to so many pixels.",
        ),
    ] = None,
    plan_from: Annotated[
        str | None,
        typer.Option(
            "--plan-from",
            metavar="SOURCE",
            help="Instead of planning, take over a plan: of another dataset (DATASET or DATASET:PLAN) or a JSON file, "
            "nnU-Net's nnUNetPlans.json too.",
        ),
    ] = None,
    gpu_memory: Annotated[
        float | None,
        typer.Option("--gpu-memory", metavar="GB", min=1, help="Plan for a GPU of this size. Default: the preset's."),
    ] = None,
    trainers: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="TRAINER",
            help="A trainer that must fit; may be repeated. Default: supervised, diffusion, recycling.",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show why the plan is as it is, rule by rule, and what each trainer takes."),
    ] = False,
    num_processes: ProcessesOption = None,
    workspace: WorkspaceOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a plan of that name even if it was edited.")
    ] = False,
) -> None:
    """Look at a dataset, plan its networks and preprocess its cases.

    Checks every file first and reports all problems at once. Writes into preprocessed/DATASET of the workspace:
    fingerprint.json, plans/NAME.json with plans/NAME_explained.md, splits_final.json (an existing one is honoured) and
    the preprocessed cases. What is there and still right is not done again.

    Examples:

      autodiffseg plan-and-preprocess Dataset004_Hippocampus

      autodiffseg plan-and-preprocess 4 -c 3d_fullres --preset cpu

      autodiffseg plan-and-preprocess 110 --target-size 128 128 --name small --explain

      autodiffseg plan-and-preprocess 4 --preset residual-l --gpu-memory 16 --name residual-16

      autodiffseg plan-and-preprocess 4 --plan-from nnUNet_preprocessed/Dataset004_Hippocampus/nnUNetPlans.json
    """
    from autodiffseg.preprocessing.parallel import default_processes
    from autodiffseg.workspace import Workspace

    from .fitted_plan import Fit
    from .plan_source import find_source, name_for
    from .preparation import PlanRequest, prepare
    from .presets import DEFAULT, find_preset
    from .reporter import Reporter
    from .trainer_memory import TRAINERS, require_trainers

    place = Workspace(workspace)
    raw = place.raw_dataset(dataset)
    source = None if plan_from is None else find_source(plan_from, place)
    chosen = find_preset(preset or DEFAULT.name)
    if gpu_memory is not None:
        chosen = chosen.scaled_to(gpu_memory)
    if trainers and (chosen.card_gb is None or source is not None):
        raise UserError("--for says who must fit on a GPU: leave it out with --preset cpu and with --plan-from.")
    require_trainers(trainers or ())
    shaping = {
        "--preset": preset,
        "--overwrite-target-spacing": spacing,
        "--target-size": target_size,
        "--plan-from": plan_from,
        "--gpu-memory": gpu_memory,
        "--for": trainers,
    }
    request = PlanRequest(
        name=_checked_name(name or (chosen.name if source is None else name_for(source.plan, raw.name))),
        preset=chosen,
        configurations=configurations or (),
        spacing=_at_least("--overwrite-target-spacing", spacing, FINEST_MM),
        target_size=_at_least("--target-size", target_size, SMALLEST_IMAGE),
        source=source,
        fit=Fit(tuple(dict.fromkeys(trainers or TRAINERS)), count_all=gpu_memory is not None, table=explain),
        overwrite=overwrite,
        asked=[option for option, value in shaping.items() if value],
    )
    if source is not None and (preset or request.spacing or request.target_size or gpu_memory):
        raise UserError(
            "--plan-from takes a plan as it is; leave out --preset, --gpu-memory, --target-size and the target spacing."
        )
    if request.spacing and request.target_size:
        raise UserError("--target-size and --overwrite-target-spacing exclude each other; give one of them.")
    prepared = prepare(raw, place, request, processes=num_processes or default_processes(), reporter=Reporter(console))
    if explain:
        from rich.markdown import Markdown

        console.print(Markdown(prepared.explanation))
        if not prepared.is_explained:
            console.print(f"{prepared.path} is another plan than this: it was kept, as said above.", soft_wrap=True)
    place_named = [] if workspace is None else ["--workspace", str(workspace)]
    _report(prepared, raw.name, again=[dataset, "--preset", "cpu", *place_named], train_options=place_named)


def _checked_name(name: str) -> str:
    from autodiffseg.plans import is_name

    if not is_name(name):
        raise UserError(f"--name '{name}' cannot name a plan; use letters, digits, '-' and single '_'.")
    return name


def _at_least(option: str, values: Numbers | None, least: float) -> Numbers | None:
    if values is not None and not all(math.isfinite(value) and value >= least for value in values):
        raise UserError(f"{option} {' '.join(map(str, values))}: numbers from {least:g} on are possible.")
    return values


def _report(prepared: Prepared, dataset: str, *, again: list[str], train_options: list[str]) -> None:
    """What was made, and the commands that come next: `again` plans for a CPU."""
    from .summary import summarise

    plan = prepared.plan
    console.print(f"Plan '{plan.name}' of {plan.dataset}: {prepared.path}", soft_wrap=True)
    for name, configuration in plan.configurations.items():
        done = " (not preprocessed)" if name in prepared.waiting else ""
        console.print(f"  {name}: {summarise(configuration)}{done}", soft_wrap=True)
    best = "3d_fullres" if "3d_fullres" in prepared.configurations else prepared.configurations[-1]
    named = [] if plan.name == "default" else ["--plan", plan.name]
    if plan.preset != "cpu":
        from autodiffseg.memory.visible_gpu import visible_gpu

        if visible_gpu() is None:
            told = shlex.join(["autodiffseg", "plan-and-preprocess", *again])
            console.print(f"This machine has no GPU; to train here: {told}", soft_wrap=True)
    told = shlex.join(["autodiffseg", "train", dataset, best, "0", *named, *train_options])
    console.print(f"Next: {told}", soft_wrap=True)
