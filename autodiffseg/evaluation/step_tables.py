"""The tables of the analyses: scores per sampling step, their spread over seeds, and scores per number of steps."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autodiffseg.evaluation.report_table import Cell, ReportTable
from autodiffseg.evaluation.step_scores import FOREGROUND, METRICS, Curve, StepScores, curve, spread

UNITS = {"Dice": "Dice", "HD95": "HD95 [mm]"}
DIGITS = {"Dice": 4, "HD95": 2}
EMPTY_MASKS = "Empty masks: both empty is left out; one empty is Dice 0 and HD95 the image diagonal."


class SamplingResult(NamedTuple):
    """One sampler with one number of steps."""

    sampler: str
    steps: int
    scores: StepScores
    """Of the last step alone."""
    seconds_per_case: float
    """To predict and score one, the median."""


def steps_table(scores: StepScores, *, title: str, notes: Sequence[str]) -> ReportTable:
    """A row per sampling step: mean and deviation over cases of the foreground, means of the classes."""
    curves = {metric: {name: curve(v) for name, v in scores.series(metric).items()} for metric in METRICS}
    header, digits = _columns(list(curves["Dice"]), UNITS)
    rows = [(step, *_row(curves, index)) for index, step in enumerate(scores.steps)]
    told = (
        f"{_cases(scores)} Mean ± standard deviation over cases of a case's mean over foreground classes; then means "
    )
    told += "per class."
    return ReportTable(title, ("step", *header), (0, *digits), tuple(rows), (told, EMPTY_MASKS, *notes))


def seeds_table(scores: StepScores, *, title: str, notes: Sequence[str]) -> ReportTable:
    """A row per sampling step: how far the samples of a case lie apart, and the scores themselves."""
    apart = {metric: {name: spread(v) for name, v in scores.series(metric).items()} for metric in METRICS}
    level = {metric: curve(scores.foreground(metric)) for metric in METRICS}
    digits = {"Dice": 4, "HD95": 4}
    header, places = _columns(list(apart["Dice"]), {m: f"Δ{unit}" for m, unit in UNITS.items()}, digits=digits)
    rows = [
        (step, *_row(apart, index), *(level[metric].mean[index] for metric in METRICS))
        for index, step in enumerate(scores.steps)
    ]
    samples = scores.values["Dice"].shape[1]
    told = f"{_cases(scores)} Δ: the largest minus the smallest value of a case's {samples} samples; mean ± standard "
    told += (
        "deviation over cases. Of the foreground, a case's value is its mean over classes. Dice and HD95: mean over "
    )
    told += "samples and cases."
    return ReportTable(
        title,
        ("step", *header, *UNITS.values()),
        (0, *places, *DIGITS.values()),
        tuple(rows),
        (told, EMPTY_MASKS, *notes),
    )


def sampling_table(results: Sequence[SamplingResult], *, title: str, notes: Sequence[str]) -> ReportTable:
    """A row per sampler and number of steps: scores of the answer, and how long a case takes."""
    first = results[0].scores
    header, digits = _columns(list(first.series("Dice")), UNITS)
    rows: list[tuple[Cell, ...]] = []
    for found in results:
        curves = {metric: {name: curve(v) for name, v in found.scores.series(metric).items()} for metric in METRICS}
        rows.append((found.sampler, found.steps, *_row(curves, 0), found.seconds_per_case))
    told = f"{_cases(first)} Scores of the last step: mean ± standard deviation over cases of a case's mean over "
    told += "foreground classes; then means per class. Median seconds to predict and score a case."
    return ReportTable(
        title, ("sampler", "steps", *header, "s/case"), (0, 0, *digits, 2), tuple(rows), (told, EMPTY_MASKS, *notes)
    )


def cases_csv(parts: Mapping[tuple[Cell, ...], StepScores], names: Sequence[str]) -> str:
    """Everything in one file: a row per part, case, sample, step and class.

    Args:
        parts: what distinguishes the scores (such as sampler and steps) -> scores.
        names: of what distinguishes them.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "case", "sample", "step", "class", *METRICS])
    for part, scores in parts.items():
        dice = scores.values["Dice"]
        for case, name in enumerate(scores.cases):
            for sample in range(dice.shape[1]):
                for place, step in enumerate(scores.steps):
                    for index, label in enumerate(scores.classes):
                        numbers = [float(scores.values[metric][case, sample, place, index]) for metric in METRICS]
                        shown = ["" if math.isnan(number) else number for number in numbers]
                        writer.writerow([*part, name, sample, step, label, *shown])
    return text.getvalue()


def _columns(
    series: Sequence[str], units: Mapping[str, str], *, digits: Mapping[str, int] = DIGITS
) -> tuple[list[str], list[int]]:
    """Header and digits of the columns that `_row` fills."""
    header: list[str] = []
    places: list[int] = []
    for metric, unit in units.items():
        short = unit.partition(" ")[0]
        header += [unit, f"{short} ±", *(f"{short} {name}" for name in series if name != FOREGROUND)]
        places += [digits[metric]] * (len(series) + 1)
    return header, places


def _row(curves: Mapping[str, Mapping[str, Curve]], step: int) -> list[float]:
    """Per metric the foreground's mean and deviation, and the means of the classes."""
    cells: list[float] = []
    for by_name in curves.values():
        cells += [by_name[FOREGROUND].mean[step], by_name[FOREGROUND].std[step]]
        cells += [found.mean[step] for name, found in by_name.items() if name != FOREGROUND]
    return cells


def _cases(scores: StepScores) -> str:
    return f"Validation cases: {len(scores.cases)}."
