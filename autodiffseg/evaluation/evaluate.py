"""The command evaluate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from autodiffseg.command_options import ProcessesOption
from autodiffseg.errors import UserError

if TYPE_CHECKING:
    from autodiffseg.evaluation.summary import Summary
    from autodiffseg.labels import LabelSpec

console = Console(highlight=False)

LONGEST_NAME = 20
"""Characters of a class name that the table shows in one line."""

SHOWN = ("Dice", "IoU", "HD95", "ASSD", "NSD@1mm")
"""Metrics of the table where none are named."""


def command(
    predictions: Annotated[Path, typer.Option("-p", "--predictions", help="Folder of predicted label maps.")],
    references: Annotated[Path, typer.Option("-r", "--references", help="Folder of reference label maps.")],
    dataset_json: Annotated[
        Path | None,
        typer.Option(help="Says what the labels mean. Default: dataset.json in PREDICTIONS, else the values found."),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="What to score, parted by commas: HD95,NSD@1.5mm. Default: all, with NSD@1mm and NSD@2mm."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the files. Default: PREDICTIONS.")
    ] = None,
    intersection: Annotated[
        bool, typer.Option("--intersection", help="Score the cases that both folders have, instead of refusing.")
    ] = False,
    num_processes: ProcessesOption = None,
) -> None:
    """Score predicted label maps against references: overlap, distances and areas of surfaces, volumes, lesions.

    The cases are the files of REFERENCES. summary.json has nnU-Net's shape and says how empty masks are counted;
    summary_cases.csv has a row per case and class. Dice, IoU and voxel counts are always written. Metrics: Dice, IoU,
    HD95, HD and ASSD (mm), NSD@1mm (surface Dice, any tolerance), VolumeDifference (ml), RelativeVolumeDifference,
    Sensitivity, Precision, Specificity, LesionPrecision, LesionRecall, LesionF1. Where probabilities
    (predict --save-probabilities) or uncertainty maps lie beside the label maps, their calibration and how well they
    find errors are scored too.

    Examples:

      autodiffseg evaluate -p predictions -r labelsTs

      autodiffseg evaluate -p predictions -r labelsTs --metrics Dice,HD95,NSD@0.5mm

      autodiffseg evaluate -p predictions -r labelsTs --dataset-json raw/Dataset004_Hippocampus/dataset.json -o scores
    """
    from autodiffseg.atomic import write_text
    from autodiffseg.evaluation.calibration_folder import evaluate_calibration, evaluate_error_detection
    from autodiffseg.evaluation.folder import evaluate_folder
    from autodiffseg.evaluation.metrics import DEFAULT, read_metrics
    from autodiffseg.evaluation.placement import require_same_orientation
    from autodiffseg.evaluation.summary import CASES_CSV, summary_csv, write_summary
    from autodiffseg.preprocessing.parallel import default_processes

    chosen = read_metrics(metrics or ())
    for folder in (predictions, references):
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder.")
    ending, cases = find_cases(predictions, references, intersection=intersection)
    spec = find_labels(predictions, references, cases, ending, dataset_json)
    require_same_orientation(
        {case: (predictions / f"{case}{ending}", references / f"{case}{ending}") for case in cases}
    )
    columns = (TextColumn("Scoring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("score", total=len(cases))
        summary = evaluate_folder(
            predictions,
            references,
            spec,
            ending=ending,
            cases=cases,
            metrics=chosen or DEFAULT,
            processes=num_processes or default_processes(),
            on_case=lambda: progress.advance(task),
        )
    written = write_summary(replace(summary, notes=validation_notes(predictions)), out or predictions)
    write_text(written.with_name(CASES_CSV), summary_csv(summary))
    console.print(summary_table(summary, chosen or SHOWN))
    place, many = out or predictions, num_processes or default_processes()
    for table in (
        evaluate_calibration(predictions, references, spec, ending=ending, cases=cases, out=place, processes=many),
        evaluate_error_detection(predictions, references, summary, spec, ending=ending, out=place, processes=many),
    ):
        if table is not None:
            console.print(table.terminal())
    console.print(f"{len(cases)} cases; per case in {written} and {CASES_CSV}", soft_wrap=True)


def validation_notes(predictions: Path) -> dict[str, Any]:
    """What `validate` noted in the summary.json of a folder: which weights predicted, how, at what cost; else nothing.

    A validation's summary goes when its predictions do, so the notes are true of the label maps beside them.
    """
    from autodiffseg.evaluation.summary import SUMMARY, load_summary

    try:
        return load_summary(predictions / SUMMARY).notes
    except UserError:  # none, or one that is damaged and about to be replaced
        return {}


def find_cases(predictions: Path, references: Path, *, intersection: bool) -> tuple[str, list[str]]:
    """The file ending and the cases to score, sorted.

    Raises:
        UserError: when there are no label files, several endings, or predictions are missing.
    """
    from autodiffseg.dataset import IMAGE_ENDINGS

    found: dict[str, list[str]] = {}
    for path in sorted(references.iterdir()):
        ending = next((ending for ending in IMAGE_ENDINGS if path.name.endswith(ending)), None)
        if ending is not None and not path.name.startswith("."):
            found.setdefault(ending, []).append(path.name.removesuffix(ending))
    if len(found) != 1:
        kinds = "no label maps" if not found else f"files of several kinds ({', '.join(sorted(found))})"
        raise UserError(f"{references} holds {kinds}; one of {', '.join(IMAGE_ENDINGS)} is needed.")
    ((ending, cases),) = found.items()
    missing = [case for case in cases if not (predictions / f"{case}{ending}").is_file()]
    if missing and not intersection:
        raise UserError(
            f"{predictions} has no prediction of {len(missing)} of {len(cases)} cases (first: {missing[0]}{ending}); "
            "predict them, or score the others with --intersection."
        )
    both = [case for case in cases if case not in set(missing)]
    if not both:
        raise UserError(f"{predictions} and {references} have no case in common.")
    predicted = {path.name.removesuffix(ending) for path in predictions.glob(f"*{ending}")}
    for count, what in ((len(missing), "without a prediction"), (len(predicted - set(cases)), "without a reference")):
        if count:
            console.print(f"Left out: {count} cases {what}.", soft_wrap=True)
    return ending, both


def find_labels(
    predictions: Path, references: Path, cases: list[str], ending: str, dataset_json: Path | None
) -> LabelSpec:
    """What the labels mean: from the file given, else beside the predictions, else the values found in both folders.

    Raises:
        UserError: when the file is wrong, or there is no foreground.
    """
    from autodiffseg.dataset import DatasetJson
    from autodiffseg.evaluation.overlap import label_values
    from autodiffseg.images import read_label
    from autodiffseg.labels import LabelSpec

    beside = predictions / "dataset.json"
    if dataset_json is not None or beside.is_file():
        return DatasetJson.load(dataset_json or beside).spec
    values: set[int] = set()
    for case in cases:
        for folder in (references, predictions):
            values |= label_values(read_label(folder / f"{case}{ending}")[0])
    foreground = sorted(value for value in values if value > 0)
    if not foreground:
        raise UserError(f"{references} and {predictions} hold no foreground; name the labels with --dataset-json.")
    return LabelSpec(labels={"background": 0, **{str(value): value for value in foreground}})


def summary_table(summary: Summary, metrics: Sequence[str]) -> Table:
    """Means of `metrics` per class and over the foreground, and how many masks were empty."""
    from autodiffseg.evaluation.metrics import find_metric

    shown = [find_metric(name) for name in metrics]

    def figures(scores: Mapping[str, float]) -> list[str]:
        values = [scores[metric.name] for metric in shown]
        texts = [f"{value:.{metric.digits}f}" for value, metric in zip(values, shown, strict=True)]
        return ["–" if math.isnan(value) else text for value, text in zip(values, texts, strict=True)]

    table = Table()
    longest = max(map(len, summary.classes.values()))
    # A terminal that is too narrow would else cut the names before it breaks the headings.
    table.add_column("Class", min_width=min(longest, LONGEST_NAME), overflow="fold")
    for name in (*(metric.title for metric in shown), "Both empty", "One empty"):
        table.add_column(Text(name), justify="right")
    for key, name in summary.classes.items():
        one = summary.n_empty_prediction[key] + summary.n_empty_reference[key]
        table.add_row(Text(name), *figures(summary.mean[key]), str(summary.n_empty[key]), str(one))
    table.add_section()
    table.add_row("Mean", *figures(summary.foreground_mean), "", "")
    return table
