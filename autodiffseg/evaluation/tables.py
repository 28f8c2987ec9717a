"""A comparison as a terminal table, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Literal

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from autodiffseg.evaluation.comparison import METRICS, Comparison, Entrant, MetricResult

Mark = Literal["rich", "markdown"]
DIGITS = {"Dice": 4, "HD95": 2}
UNITS = {"Dice": "Dice", "HD95": "HD95 [mm]"}


def terminal_tables(comparison: Comparison) -> list[Table]:
    """For the terminal: scores, differences, classes and cost, each narrow enough to be read there."""
    header, *rows = cells(comparison, "rich")
    tables = []
    for title, wanted in _parts(comparison, header).items():
        table = Table(title=title, title_justify="left")
        for index in (0, *wanted):
            # Text, since Rich would take the [mm] of a plain string for a style and swallow it.
            table.add_column(Text(header[index]), justify="left" if index == 0 else "right", no_wrap=title != "Cost")
        for row in rows:
            table.add_row(*(row[index] for index in (0, *wanted)))
        tables.append(table)
    return tables


def _parts(comparison: Comparison, header: list[str]) -> dict[str, list[int]]:
    """Title -> columns of the table."""
    costs = {column for entrant in comparison.entrants for column in entrant.cost}
    classes = {f"{metric} {name}" for metric in METRICS for name in comparison.classes.values()}
    against = difference_title(comparison)
    parts: dict[str, list[int]] = {"Scores": [], "Difference": [], "Per class": [], "Cost": []}
    for index, name in enumerate(header[1:], start=1):
        part = "Cost" if name in costs else "Per class" if name in classes else "Difference"
        parts[part if name == against or part != "Difference" else "Scores"].append(index)
    return {title: columns for title, columns in parts.items() if columns}


def markdown(comparison: Comparison) -> str:
    """The table and its notes."""
    header, *rows = cells(comparison, "markdown")
    lines = [[name.replace("|", "\\|") for name in header], ["---", *["---:"] * (len(header) - 1)], *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return table + "\n\n" + "\n".join(f"- {note}" for note in notes(comparison)) + "\n"


def difference_title(comparison: Comparison) -> str:
    """Header of the column of paired differences."""
    return f"ΔDice to {comparison.baseline}"


def cells(comparison: Comparison, mark: Mark) -> list[list[str]]:
    """Header and rows as text; the best of a column is bold."""
    costs = list(dict.fromkeys(column for entrant in comparison.entrants for column in entrant.cost))
    header = ["Run"]
    for metric in METRICS:
        header += [UNITS[metric], *(f"{metric} {name}" for name in comparison.classes.values()), f"p ({metric})"]
    header += [difference_title(comparison), *costs]
    rows = []
    for entrant in comparison.entrants:
        row = [_plain(entrant.name, mark)]
        for metric, more in METRICS.items():
            result, digits = comparison.results[entrant.name][metric], DIGITS[metric]
            best = comparison.best(lambda results, m=metric: results[m].mean, more_is_better=more)  # type: ignore[misc]
            row.append(_bold(f"{result.mean:.{digits}f} ± {result.std:.{digits}f}", entrant.name in best, mark))
            for key in comparison.classes:
                best = comparison.best(
                    lambda results, m=metric, k=key: results[m].per_class[k],  # type: ignore[misc]
                    more_is_better=more,
                )
                row.append(_bold(f"{result.per_class[key]:.{digits}f}", entrant.name in best, mark))
            row.append(_p(result))
        difference = comparison.results[entrant.name]["Dice"].difference
        row.append(
            "baseline"
            if entrant.name == comparison.baseline
            else f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
        )
        rows.append([*row, *(_plain(entrant.cost.get(column, "–"), mark) for column in costs)])
    return [header, *rows]


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know to read the table."""
    unit = "group of cases (mean of its cases)" if comparison.grouped else "case"
    told = [
        f"{len(comparison.cases)} cases, the same for every row. Unit: a {unit}; its value is the mean over foreground "
        "classes. Mean ± standard deviation over units; best in bold.",
        f"p: two-sided paired Wilcoxon test (Pratt) against {comparison.baseline}, adjusted by Holm over the rows "
        "within a metric. It speaks of these trained models on these cases, not of training them anew.",
        "ΔDice: mean paired difference with its 95 % bootstrap interval over units.",
        "Empty masks: both empty is left out; one empty is Dice 0 and HD95 the image diagonal.",
    ]
    told += [note for entrant in comparison.entrants for note in _empty_masks(comparison, entrant)]
    reasons = {
        result.test.reason
        for results in comparison.results.values()
        for result in results.values()
        if result.test.reason not in ("", "baseline")
    }
    told += [f"No p-value: {reason}." for reason in sorted(reasons)]
    return told + [f"Left out: {note}" for note in comparison.left_out]


def _empty_masks(comparison: Comparison, entrant: Entrant) -> list[str]:
    """How often the rule for empty masks spoke in a row; nothing when it did not."""
    scores = [entrant.cases[case].metrics[key] for case in comparison.cases for key in comparison.classes]
    present = [(row["n_pred"] > 0) + (row["n_ref"] > 0) for row in scores]
    both, one = present.count(0), present.count(1)
    if not both + one:
        return []
    return [
        f"{entrant.name}: of {len(scores)} masks (cases × classes) {both} are empty in both, {one} in one of the two."
    ]


def to_csv(comparison: Comparison) -> str:
    """One row per run, numbers in full."""
    header = ["run", "cases"]
    for metric in METRICS:
        header += [f"{metric}_mean", f"{metric}_std", *(f"{metric}_{name}" for name in comparison.classes.values())]
        header += [f"{metric}_difference", f"{metric}_difference_low", f"{metric}_difference_high"]
        header += [f"{metric}_p", f"{metric}_p_holm"]
    costs = list(dict.fromkeys(column for entrant in comparison.entrants for column in entrant.cost))
    rows = []
    for entrant in comparison.entrants:
        row: list[object] = [entrant.name, len(comparison.cases)]
        for metric in METRICS:
            result = comparison.results[entrant.name][metric]
            row += [result.mean, result.std, *result.per_class.values(), *result.difference]
            row += [_blank(result.test.p), _blank(result.p_adjusted)]
        rows.append([*row, *(entrant.cost.get(column, "") for column in costs)])
    return _csv([[*header, *costs], *rows])


def cases_csv(comparison: Comparison) -> str:
    """One row per run, case and class."""
    header = ["run", "case", "class", *METRICS]
    rows = [
        [entrant.name, case, name, *(_blank(entrant.cases[case].metrics[key][metric]) for metric in METRICS)]
        for entrant in comparison.entrants
        for case in comparison.cases
        for key, name in comparison.classes.items()
    ]
    return _csv([header, *rows])


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _blank(value: float | None) -> float | str:
    return "" if value is None or math.isnan(value) else value


def _p(result: MetricResult) -> str:
    if result.p_adjusted is None:
        return "–"
    return "<0.0001" if result.p_adjusted < 1e-4 else f"{result.p_adjusted:.4f}"


def _plain(text: str, mark: Mark) -> str:
    """Text of the user's own, so that it is not read as a style or as the end of a cell."""
    return escape(text) if mark == "rich" else text.replace("|", "\\|")


def _bold(text: str, bold: bool, mark: Mark) -> str:
    if not bold:
        return text
    return f"[bold]{text}[/bold]" if mark == "rich" else f"**{text}**"
