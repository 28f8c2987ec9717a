"""The command `analyse labels`: what a label buys, in-domain and on a shifted set (the TEDM paper's main table)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autodiffseg.command_options import (
    DatasetArgument,
    DeviceOption,
    LabelSeedsOption,
    LabelsOption,
    PrecisionOption,
    ShiftedOption,
    WorkspaceOption,
)
from autodiffseg.several_values import several_values


@several_values("--n-labelled", "--label-seeds")
def command(
    dataset: DatasetArgument,
    trainers: Annotated[
        list[str] | None, typer.Option("--trainer", help="Only runs of this trainer; may be repeated. Default: all.")
    ] = None,
    configurations: Annotated[
        list[str] | None, typer.Option("--configuration", help="Only runs of this configuration; may be repeated.")
    ] = None,
    plan: Annotated[str | None, typer.Option(help="Only runs of this plan.")] = None,
    tag: Annotated[
        str | None, typer.Option(help="Only runs of this tag, whatever their labels and seed. Default: all.")
    ] = None,
    folds: Annotated[list[str] | None, typer.Option("--fold", help="Only this fold; may be repeated.")] = None,
    seeds: Annotated[
        list[int] | None, typer.Option("--seed", min=0, help="Only trainings of this seed; may be repeated.")
    ] = None,
    n_labelled: LabelsOption = None,
    label_seeds: LabelSeedsOption = None,
    shifted: ShiftedOption = None,
    baseline: Annotated[str | None, typer.Option(help="Method that the others are tested against.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="One self-contained page. Default: none.")
    ] = None,
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    workspace: WorkspaceOption = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the files. Default: label_curves/ in the results.")
    ] = None,
) -> None:
    """Put trained runs in the order of their labels: how good is each method with one, three or all of them?

    A row a method and number of labels (`train --n-labelled`), over its label seeds and training seeds, with the paired
    difference to the baseline with as many labels. With --shifted, labelled images of another domain are predicted by
    every run that has not done so and scored on the classes that their own dataset.json declares: the one in the folder
    of the labels or beside it. Written: labels.md, labels.csv, labels_cases.csv and labels.png.

    Examples:

      autodiffseg analyse labels JSRT

      autodiffseg analyse labels JSRT --n-labelled 1 3 all --shifted other/images other/labels OtherHospital

      autodiffseg analyse labels 110 --trainer supervised --trainer finetune-ddpm --html labels.html
    """
    from functools import partial

    from autodiffseg.dataset import DatasetJson
    from autodiffseg.errors import UserError
    from autodiffseg.evaluation.label_curves import methods_of
    from autodiffseg.evaluation.label_tables import (
        label_cases_csv,
        label_curves,
        label_panels,
        labels_table,
        narrow_tables,
    )
    from autodiffseg.evaluation.shifted_set import read_shifted_set
    from autodiffseg.few_labels import read_counts
    from autodiffseg.report.label_page import write_label_page
    from autodiffseg.workspace import Workspace

    from .analysis_report import console, report
    from .baseline import choose_baseline
    from .entrants import Wanted
    from .few_label_rows import commands_of, find_rows
    from .shifted_prediction import scored_shifted_set

    if html is not None and html.is_dir():
        raise UserError(f"--html {html} is a folder; name the file, such as {html / 'labels.html'}.")
    place = Workspace(workspace)
    name = place.planned_dataset(dataset)
    declared = DatasetJson.load(place.dataset_json_path(name))
    sets = [read_shifted_set(*shifted, model=declared)] if shifted is not None else []
    wanted = Wanted(
        trainers=tuple(trainers or ()),
        configurations=tuple(configurations or ()),
        plan=plan,
        folds=tuple(folds or ()),
        each_training=True,
        seeds=tuple(seeds or ()),
        asked_tag=tag,
        counts=read_counts(n_labelled or ()),
        label_seeds=tuple(label_seeds or ()),
    )
    score = partial(scored_shifted_set, declared=declared, device=device, precision=precision, console=console)
    rows = find_rows(place, name, declared, wanted, sets, score)
    curves = label_curves(
        rows.domains,
        baseline=choose_baseline(methods_of(rows.domains), baseline),
        passes=rows.passes,
        notes=[*rows.notes, *(f"Left out: {note}" for note in rows.left_out)],
    )
    table = labels_table(curves, title=f"{name}: Dice by the number of labels")
    report(
        out or place.results(name) / "label_curves",
        "labels",
        table,
        label_cases_csv(rows.domains),
        panels=label_panels(curves),
        positions=tuple(curves.counts),
        xlabel="labels",
        logarithmic=True,
        shown=narrow_tables(curves),
    )
    if html is not None:
        write_label_page(html, curves, title=table.title, notes=table.notes, commands=commands_of(rows.folders))
        console.print(f"Page: {html}", soft_wrap=True, markup=False)
