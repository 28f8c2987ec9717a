"""The command compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autodiffseg.byte_sizes import shown_bytes
from autodiffseg.command_options import DatasetArgument, ProcessesOption, WorkspaceOption
from autodiffseg.errors import UserError

if TYPE_CHECKING:
    from autodiffseg.dataset import DatasetJson
    from autodiffseg.evaluation.comparison import Comparison, Entrant
    from autodiffseg.evaluation.step_curves import Curves
    from autodiffseg.workspace import Workspace

console = Console(highlight=False)


def command(
    dataset: DatasetArgument,
    trainers: Annotated[
        list[str] | None, typer.Option("--trainer", help="Compare runs of this trainer; may be repeated. Default: all.")
    ] = None,
    configurations: Annotated[
        list[str] | None, typer.Option("--configuration", help="Only runs of this configuration; may be repeated.")
    ] = None,
    plan: Annotated[str | None, typer.Option(help="Only runs of this plan.")] = None,
    tag: Annotated[
        str | None, typer.Option(help="Only runs of this tag, of any seed; '' for those without one. Default: all.")
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option("--seed", help="Only trainings of this seed; may be repeated. Default: all.")
    ] = None,
    folds: Annotated[list[str] | None, typer.Option("--fold", help="Only this fold; may be repeated.")] = None,
    external: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="Predictions of another program, in FOLDER or its fold_*/validation; may be repeated.",
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Row that the others are tested against. Default: supervised, else the first.")
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option(help="As in evaluate, parted by commas. Default: Dice,HD95,NSD@1mm.")
    ] = None,
    intersection: Annotated[
        bool, typer.Option("--intersection", help="Compare the cases that all have, instead of refusing other sets.")
    ] = False,
    each_training: Annotated[
        bool,
        typer.Option("--each-training", help="A row for every seed, also where a method was trained three times."),
    ] = False,
    figures: Annotated[Path | None, typer.Option(help="Folder of figures as SVG and PDF. Default: none.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="One self-contained page, report.html. Default: none.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the files. Default: the results.")
    ] = None,
    num_processes: ProcessesOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Compare trained runs of a dataset, and predictions of other programs, on exactly the same cases.

    One row a run: scores with bootstrap intervals, paired tests against the baseline over the foreground and per class,
    and what the run cost. Runs that differ in their seed alone are one row where there are three or more. Written:
    comparison.md, .tex, .json and .csv, comparison_classes.csv and comparison_cases.csv.

    Examples:

      autodiffseg compare Hippocampus

      autodiffseg compare 4 --trainer supervised --trainer recycling --configuration 3d_fullres -o report

      autodiffseg compare Hippocampus --fold 0 --html report.html

      autodiffseg compare 4 --external nnU-Net=nnunet/predictions --baseline nnU-Net --intersection --figures report
    """
    from autodiffseg.dataset import DatasetJson
    from autodiffseg.evaluation.comparison import case_sets, choose_metrics, common_cases, compare
    from autodiffseg.evaluation.external import find_predictions, read_externals
    from autodiffseg.evaluation.metrics import read_metrics
    from autodiffseg.evaluation.summary import class_keys
    from autodiffseg.workspace import Workspace

    from .baseline import choose_baseline
    from .entrants import Wanted, find_entrants

    if html is not None and html.is_dir():
        raise UserError(f"--html {html} is a folder; name the file, such as {html / 'report.html'}.")
    asked, folders = read_metrics(metrics or ()), read_externals(external or ())
    place = Workspace(workspace)
    name = place.planned_dataset(dataset)
    declared = DatasetJson.load(place.dataset_json_path(name))
    classes = class_keys(declared.spec)
    wanted = Wanted(
        trainers=tuple(trainers or ()),
        configurations=tuple(configurations or ()),
        plan=plan,
        folds=tuple(folds or ()),
        each_training=each_training,
        tag=tag,
        seeds=tuple(seeds or ()),
    )
    entrants, left_out = find_entrants(place, name, classes, wanted, required=not folders)
    references = place.reference_labels(name)
    predictions = {title: find_predictions(folder) for title, folder in folders.items()}
    sets = case_sets(entrants)
    for title, found in predictions.items():
        if title in {entrant.name for entrant in entrants}:
            raise UserError(f"--external {title}=…: a run has this name; give another one.")
        sets[title] = {case for case in found if (references / f"{case}{declared.file_ending}").is_file()}
        if len(sets[title]) < len(found):
            left_out.append(f"{len(found) - len(sets[title])} cases of {title} that have no reference.")
    common, _ = common_cases(sets, intersection=intersection)  # before work starts, like the next line
    choose_metrics(entrants, asked)
    for title, found in predictions.items():
        others = len(sets[title]) - len(common)
        left_out += [f"{others} of {len(sets[title])} cases of {title}, which not all have."] if others else []
        chosen = {case: found[case].resolve() for case in common}
        entrants.append(_score(title, chosen, references, declared, asked, num_processes))
    result = compare(
        entrants,
        classes,
        baseline=choose_baseline([entrant.name for entrant in entrants], baseline),
        metrics=asked,
        group=declared.group if declared.has_groups else None,
        left_out=left_out,
        intersection=intersection,
    )
    curves = _report(result, name, out or place.results(name), figures)
    if html is not None:
        _write_page(html, result, place, name, asked_as=dataset, curves=curves)


def _score(
    title: str,
    predictions: dict[str, Path],
    references: Path,
    declared: DatasetJson,
    metrics: tuple[str, ...],
    processes: int | None,
) -> Entrant:
    """Score another program's predictions with a progress bar."""
    from autodiffseg.evaluation.external import score_external
    from autodiffseg.evaluation.metrics import DEFAULT
    from autodiffseg.preprocessing.parallel import default_processes

    columns = (TextColumn(f"Scoring {title}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("score", total=len(predictions))
        return score_external(
            title,
            predictions,
            references,
            declared.spec,
            ending=declared.file_ending,
            metrics=metrics or DEFAULT,
            processes=processes or default_processes(),
            on_case=lambda: progress.advance(task),
        )


def _report(result: Comparison, dataset: str, folder: Path, figures: Path | None) -> dict[str, Curves]:
    """Print the tables and write the files; the scores per sampling step of the runs that have them."""
    import json

    from autodiffseg.atomic import write_text
    from autodiffseg.evaluation.comparison_csv import cases_csv, classes_csv, runs_csv
    from autodiffseg.evaluation.comparison_json import comparison_json
    from autodiffseg.evaluation.comparison_tables import comparison_tables, notes
    from autodiffseg.invocation import command_line

    from .analysed_steps import step_curves

    tables, told, curves = comparison_tables(result), list(notes(result)), step_curves(result)
    steps = {
        name: {metric: list(map(list, by_step.items())) for metric, by_step in found.items()}
        for name, found in curves.items()
    }
    content = comparison_json(result, dataset=dataset, command=command_line(), steps=steps)
    listed = "\n".join(f"- {note}" for note in told)
    comments = "\n".join(f"% {note}" for note in told)
    texts = {
        "comparison.md": f"# {dataset}\n\n" + "\n".join(table.markdown() for table in tables) + f"\n{listed}\n",
        "comparison.tex": f"% \\usepackage{{booktabs}}\n{comments}\n" + "\n".join(table.latex() for table in tables),
        "comparison.csv": runs_csv(result),
        "comparison_classes.csv": classes_csv(result),
        "comparison_cases.csv": cases_csv(result),
        "comparison.json": json.dumps(content, indent=1) + "\n",
    }
    for file, text in texts.items():
        write_text(folder / file, text)
    for table in tables:
        console.print(table.terminal())
    for note in told:
        console.print(f"- {note}", soft_wrap=True, markup=False)
    written = [folder / file for file in texts]
    if figures is not None:
        from autodiffseg.evaluation.comparison_figures import save_figures

        written += save_figures(result, figures, curves)
    console.print(f"Written: {', '.join(map(str, written))}", soft_wrap=True, markup=False)
    return curves


def _write_page(
    path: Path, result: Comparison, place: Workspace, name: str, *, asked_as: str, curves: dict[str, Curves]
) -> None:
    """Write the report page, and say how large it is and what it lacks."""
    from autodiffseg.report.html_report import write_report

    for sentence in write_report(path, result, place, name, asked_as=asked_as, steps=curves):
        console.print(f"- {sentence}", soft_wrap=True, markup=False)
    console.print(f"Report: {path} ({shown_bytes(path.stat().st_size)})", soft_wrap=True, markup=False)
