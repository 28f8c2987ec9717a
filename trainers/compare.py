"""The command compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from autodiffseg.command_options import DatasetArgument, WorkspaceOption

console = Console(highlight=False)


def command(
    dataset: DatasetArgument,
    trainers: Annotated[
        list[str] | None, typer.Option("--trainer", help="Compare runs of this trainer; may be repeated. Default: all.")
    ] = None,
    configuration: Annotated[str | None, typer.Option(help="Only runs of this configuration.")] = None,
    plan: Annotated[str | None, typer.Option(help="Only runs of this plan.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Run that the others are tested against. Default: supervised, else the first.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the files. Default: the results.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Compare all trained runs of a dataset on exactly the same validation cases.

    One row a run: Dice and 95 % Hausdorff distance in mm, paired tests against the baseline, and what the run cost.
    Written to comparison.md, comparison.csv and comparison_cases.csv as well.

    Examples:

      autodiffseg compare Hippocampus

      autodiffseg compare 4 --trainer supervised --trainer recycling --configuration 3d_fullres -o report
    """
    from autodiffseg.atomic import write_text
    from autodiffseg.dataset import DatasetJson
    from autodiffseg.evaluation import tables
    from autodiffseg.evaluation.comparison import compare
    from autodiffseg.evaluation.summary import class_keys
    from autodiffseg.workspace import Workspace

    from .entrants import find_entrants

    place = Workspace(workspace)
    name = place.planned_dataset(dataset)
    declared = DatasetJson.load(place.dataset_json_path(name))
    classes = class_keys(declared.spec)
    entrants, left_out = find_entrants(place, name, classes, trainers or (), configuration=configuration, plan=plan)
    chosen = baseline or next((entrant.name for entrant in entrants if entrant.name.startswith("supervised")), "")
    result = compare(
        entrants,
        classes,
        baseline=chosen or entrants[0].name,
        group=declared.group if declared.has_groups else None,
        left_out=left_out,
    )
    folder = out or place.results(name)
    texts = {
        "comparison.md": tables.markdown(result),
        "comparison.csv": tables.to_csv(result),
        "comparison_cases.csv": tables.cases_csv(result),
    }
    for file, text in texts.items():
        write_text(folder / file, text)
    for table in tables.terminal_tables(result):
        console.print(table)
    for note in tables.notes(result):
        console.print(f"- {note}", soft_wrap=True, markup=False)
    console.print(f"Written: {', '.join(str(folder / file) for file in texts)}", soft_wrap=True)
