"""A comparison as CSV: numbers in full, a blank for what does not exist."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from autodiffseg.evaluation.comparison import Comparison
from autodiffseg.evaluation.paired_scores import Score

FIGURES = (
    "mean", "std", "low", "high", "units", "difference", "difference_low", "difference_high", "pairs", "p", "p_holm",
    "effect",
)  # fmt: skip


def runs_csv(comparison: Comparison) -> str:
    """One row per entrant."""
    costs = list(dict.fromkeys(column for entrant in comparison.entrants for column in entrant.cost))
    header = ["run", "cases"]
    for metric in comparison.metrics:
        header += [f"{metric}_{name}" for name in (*FIGURES, *comparison.classes.values())]
    rows = []
    for entrant in comparison.entrants:
        row: list[object] = [entrant.name, len(comparison.cases)]
        for metric in comparison.metrics:
            result = comparison.results[entrant.name][metric]
            row += [*figures(result.foreground), *(_blank(score.mean) for score in result.classes.values())]
        rows.append([*row, *(entrant.cost.get(column, "") for column in costs)])
    return _csv([[*header, *costs], *rows])


def classes_csv(comparison: Comparison) -> str:
    """One row per entrant, metric and class."""
    rows = [
        [entrant.name, metric, comparison.classes[key], *figures(score)]
        for entrant in comparison.entrants
        for metric in comparison.metrics
        for key, score in comparison.results[entrant.name][metric].classes.items()
    ]
    return _csv([["run", "metric", "class", *FIGURES], *rows])


def cases_csv(comparison: Comparison) -> str:
    """One row per entrant, training, case and class; trainings are counted from 1."""
    rows = [
        [entrant.name, training, case, name]
        + [_blank(scored[case].metrics[key][metric]) for metric in comparison.metrics]
        for entrant in comparison.entrants
        for training, scored in enumerate(entrant.trainings, start=1)
        for case in comparison.cases
        for key, name in comparison.classes.items()
    ]
    return _csv([["run", "training", "case", "class", *comparison.metrics], *rows])


def figures(score: Score) -> list[float | int | str]:
    """The values of `FIGURES`."""
    test = score.test
    pairs: int | str = "" if test.reason == "baseline" else test.pairs
    values = (score.mean, score.std, score.interval.low, score.interval.high)
    against = (*score.difference,)
    return [
        *map(_blank, values),
        score.units,
        *map(_blank, against),
        pairs,
        *map(_blank, (test.p, score.p_adjusted, test.effect)),
    ]


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _blank(value: float | None) -> float | str:
    return "" if value is None or math.isnan(value) else value
