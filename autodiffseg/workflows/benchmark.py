"""The command `benchmark`: a whole comparison of trainers on one's own dataset, in one line that may be repeated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from autodiffseg.command_options import (
    DatasetArgument,
    DeviceOption,
    LabelSeedsOption,
    LabelsOption,
    ShiftedOption,
    WorkspaceOption,
)
from autodiffseg.errors import UserError
from autodiffseg.several_values import several_values
from autodiffseg.workflows.typed_command import run_typed

if TYPE_CHECKING:
    from autodiffseg.dataset import DatasetJson
    from autodiffseg.workflows.study import Study
    from autodiffseg.workspace import Workspace

TRAINERS = ("supervised", "diffusion", "recycling")
INTERRUPTED = 130

Value = TypeVar("Value", str, int)

console = Console(highlight=False)


@several_values("--n-labelled", "--label-seeds")
def command(
    dataset: DatasetArgument,
    trainers: Annotated[
        list[str] | None,
        typer.Option("--trainer", help="To be compared; may be repeated. Default: supervised, diffusion, recycling."),
    ] = None,
    configurations: Annotated[
        list[str] | None,
        typer.Option("--configuration", help="May be repeated. Default: 3d_fullres, or 2d for 2D images."),
    ] = None,
    folds: Annotated[list[str] | None, typer.Option("--fold", help="May be repeated. Default: 0.")] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option(
            "--seed", min=0, help="May be repeated; three or more show the spread over trainings. Default: 0."
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="To plan with, as in plan-and-preprocess, where there is no plan.")
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option("--plan", help="Name of the plan. Default: the preset's, else the only one, or default."),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option("--iterations", min=1, help="Updates of every training. Default: the plan's.")
    ] = None,
    n_labelled: LabelsOption = None,
    label_seeds: LabelSeedsOption = None,
    backbone: Annotated[
        Path | None,
        typer.Option("--backbone", help="Checkpoint of pretrain, for the trainers that begin with one."),
    ] = None,
    shifted: ShiftedOption = None,
    tag: Annotated[str, typer.Option(help="Keeps the trainings apart from others that are otherwise alike.")] = "",
    baseline: Annotated[str | None, typer.Option(help="Row that the others are tested against. As in compare.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="The page. Default: report.html in the results; with --n-labelled, labels.html.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Plan, train, validate and compare: everything that a comparison of trainers on a dataset needs.

    First all steps are listed, with the time that trainings are expected to take on this machine; validating comes on
    top. What is done already is skipped, what was begun goes on, so the same line may be typed again after an
    interruption, or with one more fold or seed. Every command is shown as you would type it.

    With --n-labelled every trainer is trained on so many of the labels, once per label seed, and the last step puts the
    rows in the order of their labels. With --shifted every model also predicts labelled images of another domain, which
    are scored on the classes that their own dataset.json declares: the one in LABELS or beside it.

    Examples:

      autodiffseg benchmark Hippocampus --preset cpu

      autodiffseg benchmark 4 --trainer supervised --trainer recycling --fold 0 --fold 1 --seed 0 --seed 1 --seed 2

      autodiffseg benchmark 110 --configuration 2d --iterations 5000 --tag short --dry-run

      autodiffseg benchmark JSRT --trainer supervised --trainer tedm --backbone CHECKPOINT --n-labelled 1 3 6 12 24

      autodiffseg benchmark JSRT --n-labelled 1 3 all --label-seeds 0 1 2 --shifted other/images other/labels Other
    """
    from autodiffseg.evaluation.shifted_set import read_shifted_set
    from autodiffseg.few_labels import read_counts
    from autodiffseg.folds import require_held_out
    from autodiffseg.runs import check_tag
    from autodiffseg.workflows.study import Study
    from autodiffseg.workspace import Workspace

    place = Workspace(workspace)
    check_tag(tag)
    chosen = _unique("--trainer", trainers or TRAINERS)
    _refuse_unknown(chosen)
    name = _full_name(place, dataset)
    chosen_plan = plan or preset or place.choose_plan(name, None)
    if plan is not None and preset is None and not place.plan_path(name, plan).is_file():
        raise UserError(f"--plan {plan}: {name} has no such plan; add --preset to say what it shall be made with.")
    study = Study(
        workspace=place,
        place=[] if workspace is None else ["--workspace", str(workspace)],
        asked_as=dataset,
        dataset=name,
        trainers=chosen,
        configurations=_unique("--configuration", configurations or [_default_configuration(place, name, dataset)]),
        folds=_unique("--fold", folds or ["0"]),
        seeds=_unique("--seed", seeds or [0]),
        plan=chosen_plan,
        preset=preset,
        tag=tag,
        iterations=iterations,
        device=device,
        baseline=baseline,
        html=html or place.results(name) / ("labels.html" if n_labelled else "report.html"),
        counts=read_counts(n_labelled or ["all"]),
        label_seeds=_unique("--label-seeds", label_seeds or [0]),
        backbone=backbone,
        shifted=read_shifted_set(*shifted, model=_declared(place, name, dataset)) if shifted is not None else None,
    )
    if label_seeds and study.counts == (None,):
        raise UserError("--label-seeds chooses among the cases for --n-labelled; give that too, or leave it out.")
    _check_backbone(study)
    require_held_out(study.folds)
    study.check_labels()
    was_planned = study.is_planned
    _announce(study)
    if dry_run:
        return
    began, count = time.monotonic(), len(list(study.steps()))
    for number, step in enumerate(study.steps(), start=1):  # each as it stands when it is reached
        if step.done:
            continue
        code = run_typed(step.arguments, console)
        if code != 0:
            what = "interrupted" if code == INTERRUPTED else "failed"
            console.print(
                f"\nStep {number} of {count} {what}: {step.name}. The same line goes on from here.",
                soft_wrap=True,
                markup=False,
            )
            raise typer.Exit(code)
        if number == 1 and not was_planned:
            study.check_labels()
            _announce(study)
    console.print(f"\nDone in {_shown(time.monotonic() - began)}: {study.html}", soft_wrap=True, markup=False)


def _announce(study: Study) -> None:
    """List the steps: what is done, what is to do, and how long trainings take where that can be said."""
    from autodiffseg.workflows.pace import Pace

    pace = Pace(study)
    steps = list(study.steps())
    console.print(f"\nBenchmark of {study.dataset}:", style="bold", markup=False)
    total, unknown = 0.0, 0
    for number, step in enumerate(steps, start=1):
        told = "done" if step.done else ""
        if not step.done and step.training is not None:
            seconds = pace.seconds(step)
            told = "time unknown" if seconds is None else f"about {_shown(seconds)}"
            total, unknown = total + (seconds or 0), unknown + (seconds is None)
        console.print(f"  {number}. {step.name}{f': {told}' if told else ''}", soft_wrap=True, markup=False)
    known = [f"about {_shown(total)}"] if total else []
    known += [f"{unknown} whose time is not known yet"] if unknown else []
    if known:
        console.print(f"Trainings to do: {' and '.join(known)}; validating comes on top.", soft_wrap=True)


def _unique(option: str, values: Sequence[Value]) -> tuple[Value, ...]:
    """Refuse what is named twice."""
    for value in values:
        if list(values).count(value) > 1:
            raise UserError(f"{option} {value} is given twice.")
    return tuple(values)


def _refuse_unknown(trainers: tuple[str, ...]) -> None:
    """Raise UserError for a name that is no trainer, before anything is planned."""
    from autodiffseg import registry

    known = [*registry.known(registry.TRAINERS), *registry.known(registry.ENSEMBLES)]
    for name in trainers:
        if name not in known and ":" not in name:
            raise UserError(registry.unknown("trainer", name, known))


def _check_backbone(study: Study) -> None:
    """Raise UserError where a trainer needs a backbone and there is none, or none of the trainers reads it."""
    from autodiffseg.workflows.study import reads_backbone

    reading = [trainer for trainer in study.trainers if reads_backbone(trainer)]
    if reading and study.backbone is None:
        raise UserError(f"{reading[0]} begins with a pretrained backbone: name its checkpoint with --backbone.")
    if study.backbone is not None and not reading:
        raise UserError(f"--backbone {study.backbone}: none of {', '.join(study.trainers)} reads one.")
    if study.backbone is not None and not study.backbone.exists():
        raise UserError(f"--backbone {study.backbone} does not exist; `autodiffseg pretrain` makes one.")


def _declared(place: Workspace, name: str, dataset: str) -> DatasetJson:
    """dataset.json of a dataset that is planned, or of its raw folder."""
    from autodiffseg.dataset import DatasetJson

    path = place.dataset_json_path(name)
    return DatasetJson.load(path) if path.is_file() else place.raw_dataset(dataset).json


def _full_name(place: Workspace, dataset: str) -> str:
    """Of a dataset that is planned, or of its raw folder."""
    try:
        return place.planned_dataset(dataset)
    except UserError:
        return place.raw_dataset(dataset).name


def _default_configuration(place: Workspace, name: str, dataset: str) -> str:
    """3d_fullres, or 2d where images are single slices."""
    from autodiffseg.fingerprint import Fingerprint
    from autodiffseg.images import read_geometry

    path = place.fingerprint_path(name)
    if path.is_file():
        flat = all(shape[0] == 1 for shape in Fingerprint.load(path).shapes)
    else:
        raw = place.raw_dataset(dataset)
        first = [file for case in raw.cases[:1] for file in raw.images(case)[:1]]
        flat = all(read_geometry(file).shape[0] == 1 for file in first)
    return "2d" if flat else "3d_fullres"


def _shown(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{max(1.0, seconds):.0f} seconds"
