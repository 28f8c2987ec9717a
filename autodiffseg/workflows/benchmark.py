"""The command `benchmark`: a whole comparison of trainers on one's own dataset, in one line that may be repeated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from autodiffseg.command_options import DatasetArgument, DeviceOption, WorkspaceOption
from autodiffseg.errors import UserError
from autodiffseg.workflows.typed_command import run_typed

if TYPE_CHECKING:
    from autodiffseg.workflows.study import Step, Study
    from autodiffseg.workspace import Workspace

TRAINERS = ("supervised", "diffusion", "recycling")
INTERRUPTED = 130

Value = TypeVar("Value", str, int)

console = Console(highlight=False)


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
    tag: Annotated[str, typer.Option(help="Keeps the trainings apart from others that are otherwise alike.")] = "",
    baseline: Annotated[str | None, typer.Option(help="Row that the others are tested against. As in compare.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="The page. Default: report.html in the results.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Plan, train, validate and compare: everything that a comparison of trainers on a dataset needs.

    First all steps are listed, with the time that trainings are expected to take on this machine; validating comes on
    top. What is done already is skipped, what was begun goes on, so the same line may be typed again after an
    interruption, or with one more fold or seed. Every command is shown as you would type it.

    Examples:

      autodiffseg benchmark Hippocampus --preset cpu

      autodiffseg benchmark 4 --trainer supervised --trainer recycling --fold 0 --fold 1 --seed 0 --seed 1 --seed 2

      autodiffseg benchmark 110 --configuration 2d --iterations 5000 --tag short --dry-run
    """
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
        html=html or place.results(name) / "report.html",
    )
    if "all" in study.folds:
        raise UserError("--fold all trains on every case, so none is left to compare on; name folds by number.")
    was_planned = study.is_planned
    _announce(study)
    if dry_run:
        return
    began, count = time.monotonic(), len(list(study.steps()))
    for number in range(1, count + 1):
        step = list(study.steps())[number - 1]  # as it stands now: an ensemble's members may have been made on the way
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
            _announce(study)
    console.print(f"\nDone in {_shown(time.monotonic() - began)}: {study.html}", soft_wrap=True, markup=False)


def _announce(study: Study) -> None:
    """List the steps: what is done, what is to do, and how long trainings take where that can be said."""
    pace = _Pace(study)
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


class _Pace:
    """How long trainings take: by those of the same kind in the results, else by a forecast for this CPU."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._forecasts: dict[tuple[str, str], float | None] = {}

    def seconds(self, step: Step) -> float | None:
        """What is left of a training; None when that cannot be said."""
        study = self.study
        if step.training is None or not study.is_planned:
            return None
        updates = study.iterations or study.workspace.plan(study.dataset, study.plan).iterations
        if step.training not in self._forecasts:
            self._forecasts[step.training] = self._of_an_update(*step.training, updates)
        pace = self._forecasts[step.training]
        left = updates if step.updates_left is None else step.updates_left
        return None if pace is None else pace * left

    def _of_an_update(self, trainer: str, configuration: str, updates: int) -> float | None:
        from autodiffseg import registry
        from autodiffseg.runs import dataset_runs, fold_records

        study = self.study
        records = [
            record
            for run in dataset_runs(study.workspace, study.dataset)
            for record in fold_records(run).values()
            if (record.trainer, record.plan, record.configuration) == (trainer, study.plan, configuration)
        ]
        done = sum(record.iterations_done for record in records)
        if done:
            return sum(record.training_seconds for record in records) / done
        forecast = registry.load(registry.SERVICES, "training-time")
        try:
            seconds = forecast(
                study.workspace, study.dataset, trainer=trainer, plan=study.plan, configuration=configuration,
                iterations=updates, device=study.device,
            )  # fmt: skip
        except UserError:
            return None  # a forecast is no condition: the training itself will say what is wrong
        return None if seconds is None else float(seconds) / updates


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
