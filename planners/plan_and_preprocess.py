"""The command plan-and-preprocess."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autodiffseg import registry
from autodiffseg.command_options import DatasetArgument, ProcessesOption, WorkspaceOption
from autodiffseg.errors import UserError

if TYPE_CHECKING:
    from autodiffseg.dataset import RawDataset
    from autodiffseg.fingerprint import Fingerprint
    from autodiffseg.plans import Plan
    from autodiffseg.workspace import Workspace

    from .planner import Planned
    from .presets import Preset

CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")

console = Console(highlight=False)


def command(
    dataset: DatasetArgument,
    configurations: Annotated[
        list[str] | None,
        typer.Option("-c", "--configuration", help="Preprocess this one; may be repeated. Default: all in the plan."),
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", help="default: for a GPU with 8 GB. cpu: a small network for two cores.")
    ] = "default",
    name: Annotated[str | None, typer.Option("--name", help="Name of the plan. Default: that of the preset.")] = None,
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
    """
    from autodiffseg.preprocessing.parallel import default_processes
    from autodiffseg.workspace import Workspace

    from .presets import find_preset

    chosen = find_preset(preset)
    for configuration in configurations or ():
        if configuration not in CONFIGURATIONS:
            raise UserError(registry.unknown("configuration", configuration, list(CONFIGURATIONS)))
    plan_name = name or preset
    # Two underscores part the names in a run's folder.
    if not re.fullmatch(r"\w[\w.-]*", plan_name) or "__" in plan_name:
        raise UserError(f"--name '{plan_name}' cannot name a plan; use letters, digits, '-' and single '_'.")
    place = Workspace(workspace)
    raw = place.raw_dataset(dataset)
    _prepare(raw, place, chosen, plan_name, configurations, num_processes or default_processes(), overwrite)


def _prepare(
    raw: RawDataset,
    workspace: Workspace,
    preset: Preset,
    name: str,
    configurations: list[str] | None,
    processes: int,
    overwrite: bool,
) -> None:
    from autodiffseg.preprocessing.case_store import CaseStore
    from autodiffseg.preprocessing.run import missing_cases, preprocess_dataset

    from .dataset_copies import copy_dataset, keep_folds, plan_folds
    from .existing_plan import choose_plan
    from .explain import explain_plan

    known = _known_fingerprint(raw, workspace, processes)
    if known is None:
        _check(raw, processes)
    folds, note = plan_folds(raw, workspace)  # after the check: it needs cases, and a group for each
    _tell(note)
    before = None if known else _earlier_fingerprint(raw, workspace)
    fingerprint = known or _take_fingerprint(raw, workspace, processes)
    planned = _plan(raw, fingerprint, preset, name)
    path = workspace.plan_path(raw.name, name)
    earlier = _plan(raw, before, preset, name).plan if before is not None else None
    choice = choose_plan(path, planned.plan, before=earlier, overwrite=overwrite)
    _tell(choice.note)
    wanted = configurations or list(choice.plan.configurations)
    for configuration in wanted:
        choice.plan.configuration(configuration)  # refuses what the plan does not have

    fingerprint.save(workspace.fingerprint_path(raw.name))
    keep_folds(folds, workspace.splits_path(raw.name))
    copy_dataset(raw, workspace)
    if choice.write:
        from autodiffseg.atomic import write_text

        text = explain_plan(planned, fingerprint, channels=raw.json.channels, spec=raw.spec, preset=preset)
        write_text(path.with_name(f"{name}_explained.md"), text)
        choice.plan.save(path)

    for configuration in wanted:
        folder = workspace.preprocessed(raw.name) / choice.plan.data_id(configuration)
        missing = len(missing_cases(raw, CaseStore(folder)))
        with _progress(f"Preprocessing {configuration}", missing) as advance:
            preprocess_dataset(raw, choice.plan, configuration, folder, processes=processes, on_case=advance)
    _report(raw, choice.plan, wanted, path)


def _known_fingerprint(raw: RawDataset, workspace: Workspace, processes: int) -> Fingerprint | None:
    """The fingerprint of an earlier run, if it was taken from the raw files as they are now."""
    before = _earlier_fingerprint(raw, workspace)
    if before is None or before.raw_hash != _hash_or_none(raw, _hash_cache(raw, workspace), processes):
        return None
    console.print("The raw files have not changed: integrity check and fingerprint are those of before.")
    return before


def _earlier_fingerprint(raw: RawDataset, workspace: Workspace) -> Fingerprint | None:
    from autodiffseg.fingerprint import Fingerprint

    path = workspace.fingerprint_path(raw.name)
    return Fingerprint.load(path) if path.is_file() else None


def _take_fingerprint(raw: RawDataset, workspace: Workspace, processes: int) -> Fingerprint:
    from .fingerprint_extraction import take_fingerprint
    from .raw_hash import hash_raw

    raw_hash = hash_raw(raw, _hash_cache(raw, workspace), threads=processes)
    with _progress("Fingerprint", len(raw.cases)) as advance:
        return take_fingerprint(raw, raw_hash, processes=processes, on_case=advance)


def _hash_cache(raw: RawDataset, workspace: Workspace) -> Path:
    return workspace.preprocessed(raw.name) / "raw_files.json"


def _hash_or_none(raw: RawDataset, cache: Path, processes: int) -> str | None:
    """The hash of the raw files, or None where one cannot be read; the integrity check says more of it."""
    from .raw_hash import hash_raw

    try:
        return hash_raw(raw, cache, threads=processes)
    except UserError:
        return None


def _check(raw: RawDataset, processes: int) -> None:
    from autodiffseg.integrity import check_dataset, require_sound

    with _progress("Integrity", len(raw.cases)) as advance:
        problems = check_dataset(raw, processes=processes, on_case=advance)
    require_sound(problems, raw.folder)
    for problem in problems:
        _tell(f"Note: {problem}")


def _plan(raw: RawDataset, fingerprint: Fingerprint, preset: Preset, name: str) -> Planned:
    from .planner import make_plan

    return make_plan(fingerprint, channels=raw.json.channels, spec=raw.spec, preset=preset, name=name)


def _report(raw: RawDataset, plan: Plan, wanted: list[str], path: Path) -> None:
    console.print(f"Plan '{plan.name}' of {plan.dataset}: {path}", soft_wrap=True)
    for name, configuration in plan.configurations.items():
        spacing = " × ".join(f"{value:.4g}" for value in configuration.spacing)
        patch = " × ".join(str(length) for length in configuration.patch_size)
        stages = len(configuration.network.features)
        done = "" if name in wanted else " (not preprocessed)"
        console.print(
            f"  {name}: spacing {spacing} mm, patch {patch}, batch {configuration.batch_size}, {stages} stages{done}",
            soft_wrap=True,
        )
    best = wanted[-1]
    named = "" if plan.name == "default" else f" --plan {plan.name}"
    console.print(f"Next: autodiffseg train {raw.name} {best} 0{named}", soft_wrap=True)


def _tell(note: str) -> None:
    if note:
        console.print(note, soft_wrap=True)


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar; yields what is called after each case. Nothing to do shows nothing."""
    if total == 0:
        yield lambda: None
        return
    columns = (TextColumn("{task.description:<25}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)
