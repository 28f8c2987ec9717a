"""The command compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from autodiffseg.command_options import DatasetArgument, WorkspaceOption
from autodiffseg.errors import UserError

if TYPE_CHECKING:
    from autodiffseg.evaluation.comparison import Entrant
    from autodiffseg.evaluation.summary import CaseScores
    from autodiffseg.runs import RunRecord
    from autodiffseg.workspace import Workspace

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

    place = Workspace(workspace)
    name = place.planned_dataset(dataset)
    declared = DatasetJson.load(place.dataset_json_path(name))
    classes = class_keys(declared.spec)
    entrants, left_out = find_entrants(place, name, classes, trainers or (), configuration, plan)
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
    console.print(tables.terminal_table(result))
    for note in tables.notes(result):
        console.print(f"- {note}", soft_wrap=True, markup=False)
    console.print(f"Written: {', '.join(str(folder / file) for file in texts)}", soft_wrap=True)


def find_entrants(
    workspace: Workspace,
    dataset: str,
    classes: Mapping[str, str],
    trainers: Sequence[str],
    configuration: str | None,
    plan: str | None,
) -> tuple[list[Entrant], list[str]]:
    """The runs that can be compared, and sentences about those that cannot.

    Raises:
        UserError: when a named trainer has no run, or no run is left.
    """
    from autodiffseg.evaluation.comparison import Entrant
    from autodiffseg.evaluation.summary import SUMMARY, load_summary
    from autodiffseg.runs import VALIDATION, dataset_runs, fold_folder, fold_records

    found = {run: fold_records(run) for run in dataset_runs(workspace, dataset)}
    first = {run: next(iter(records.values())) for run, records in found.items()}
    fitting = [
        run
        for run, record in first.items()
        if configuration in (None, record.configuration) and plan in (None, record.plan)
    ]
    _refuse_unknown(trainers, [first[run] for run in fitting])
    chosen: list[tuple[RunRecord, dict[str, RunRecord], dict[str, CaseScores], str]] = []
    left_out = []
    for run in fitting:
        if trainers and not any(_is_called(first[run], name) for name in trainers):
            continue
        cases: dict[str, CaseScores] = {}
        scored: dict[str, RunRecord] = {}
        mark = ""
        for fold, record in found[run].items():
            path = fold_folder(run, fold) / VALIDATION / SUMMARY
            if fold == "all":
                left_out.append(f"fold all of {run.name}: it validates on what it was trained on.")
                continue
            if not path.is_file():
                left_out.append(f"fold {fold} of {run.name}: not validated (`autodiffseg validate`).")
                continue
            summary = load_summary(path)
            if set(summary.classes) != set(classes):
                scored_on = ", ".join(summary.classes.values())
                left_out.append(f"fold {fold} of {run.name}: scored on other classes ({scored_on}); train it anew.")
                continue
            cases.update({case.case: case for case in summary.cases})
            scored[fold] = record
            if summary.notes.get("checkpoint") == "best":
                mark = " (best checkpoint: chosen on these cases)"
        if scored:
            chosen.append((first[run], scored, cases, mark))
    if not chosen:
        why = f" Left out: {' '.join(left_out)}" if left_out else ""
        raise UserError(
            f"{workspace.results(dataset)} holds no validated run that fits; train one with `autodiffseg train`.{why}"
        )
    same_plan = len({record.plan for record, *_ in chosen}) == 1
    same_configuration = len({record.configuration for record, *_ in chosen}) == 1
    entrants = []
    for record, scored, cases, mark in chosen:
        parts = [_shown(record)]
        parts += [] if same_plan else [record.plan]
        parts += [] if same_configuration else [record.configuration]
        parts += [record.tag] if record.tag else []
        entrants.append(Entrant(" ".join(parts) + mark, cases, cost(list(scored.values()))))
    return entrants, left_out


def cost(records: list[RunRecord]) -> dict[str, str]:
    """What the folds of a run cost, as table cells."""
    updates = sorted({record.iterations_done for record in records})
    unfinished = any(not record.finished for record in records)
    minutes = sum(record.training_seconds for record in records) / 60 / len(records)
    return {
        "Parameters [M]": f"{records[0].parameters / 1e6:.2f}",
        "Updates": "–".join(str(number) for number in dict.fromkeys((updates[0], updates[-1])))
        + (" (unfinished)" if unfinished else ""),
        "Training [min/fold]": f"{minutes:.1f}",
        "Device": f"{records[0].device} {records[0].precision}",
        "Folds": ",".join(record.fold for record in records),
    }


def _refuse_unknown(trainers: Sequence[str], records: Sequence[RunRecord]) -> None:
    """Raise UserError for a named trainer that none of the runs has."""
    from autodiffseg.registry import unknown

    known = sorted({_shown(record) for record in records})
    for name in trainers:
        if known and not any(_is_called(record, name) for record in records):
            raise UserError(unknown("trainer", name, known) + " These have runs that fit.")


def _is_called(record: RunRecord, name: str) -> bool:
    """Whether a run's trainer is called so; one of the user's own, my_trainers:Mixed, is by its class as well."""
    return name in (record.trainer, _shown(record))


def _shown(record: RunRecord) -> str:
    return record.trainer.rpartition(":")[2]
