"""Rows of the recycling study: the scores of one run as a CSV file, and how they are read back."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autodiffseg.atomic import write_text
from autodiffseg.errors import UserError
from autodiffseg.evaluation.step_scores import METRICS, StepScores

KEYS = ("sampler", "steps", "mirroring", "case", "sample", "step")
DIGITS = {"Dice": 6, "HD95": 4}
"""After the point: enough to tell runs apart, and half of the file's size."""


class Part(NamedTuple):
    """One way in which all cases were predicted."""

    sampler: str
    """ddpm, ddim, or "none" for a model that answers in one pass."""
    steps: int
    mirroring: bool


Parts = Mapping[Part, StepScores]


def write_parts(path: Path, parts: Parts) -> None:
    """Write scores, a row for every part, case, sample and step; a class is a column of each metric."""
    classes = next(iter(parts.values())).classes
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*KEYS, *(f"{metric} {name}" for metric in METRICS for name in classes)])
    for part, scores in sorted(parts.items()):
        if scores.classes != classes:
            raise ValueError(f"{path}: {part} has the classes {scores.classes}, others have {classes}")
        for case, name in enumerate(scores.cases):
            for sample in range(scores.values["Dice"].shape[1]):
                for place, step in enumerate(scores.steps):
                    numbers = [
                        _text(float(number), DIGITS[metric])
                        for metric in METRICS
                        for number in scores.values[metric][case, sample, place]
                    ]
                    writer.writerow([part.sampler, part.steps, int(part.mirroring), name, sample, step, *numbers])
    write_text(path, text.getvalue())


def read_parts(path: Path) -> dict[Part, StepScores]:
    """The scores of a file; none when it does not exist.

    Raises:
        UserError: when rows of it are missing.
    """
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = tuple(name.removeprefix("Dice ") for name in rows[0] if name.startswith("Dice "))
    by_part: dict[Part, list[dict[str, str]]] = {}
    for row in rows:
        by_part.setdefault(Part(row["sampler"], int(row["steps"]), row["mirroring"] == "1"), []).append(row)
    return {part: _collect(path, found, classes) for part, found in by_part.items()}


def _collect(path: Path, rows: list[dict[str, str]], classes: tuple[str, ...]) -> StepScores:
    cases = tuple(dict.fromkeys(row["case"] for row in rows))
    samples, steps = 1 + max(int(row["sample"]) for row in rows), sorted({int(row["step"]) for row in rows})
    shape = (len(cases), samples, len(steps), len(classes))
    if len(rows) != math.prod(shape[:3]) or steps != list(range(steps[0], steps[0] + len(steps))):
        raise UserError(f"{path} lacks rows; remove it, and its run is measured again.")
    values = {metric: np.full(shape, math.nan) for metric in METRICS}
    for row in rows:
        place = cases.index(row["case"]), int(row["sample"]), int(row["step"]) - steps[0]
        for metric in METRICS:
            values[metric][place] = [float(row[f"{metric} {name}"] or math.nan) for name in classes]
    return StepScores(classes, cases, values, steps[0])


def _text(number: float, digits: int) -> str:
    return "" if math.isnan(number) else f"{number:.{digits}f}".rstrip("0").rstrip(".")
