"""Step curves: the mean scores after every sampling step, from the steps_cases.csv that `analyse steps` writes."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection
from pathlib import Path

import numpy as np

from autodiffseg.errors import UserError
from autodiffseg.evaluation.statistics import mean_of

Curves = dict[str, dict[int, float]]
"""Metric -> step -> mean over cases of a case's mean over classes and samples."""


def read_step_curves(path: Path, cases: Collection[str]) -> Curves | None:
    """The curves over `cases`; None when the file does not hold all of them.

    Raises:
        UserError: when it is no such file.
    """
    values: dict[str, dict[int, dict[str, list[float]]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                step = int(row["step"])
                for metric in ("Dice", "HD95"):
                    value = float(row[metric]) if row[metric] else math.nan
                    values.setdefault(metric, {}).setdefault(step, {}).setdefault(row["case"], []).append(value)
    except (KeyError, ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not what `autodiffseg analyse steps` writes ({error}); make it anew.") from error
    if not values or not all(set(cases) <= set(by_case) for by_case in values["Dice"].values()):
        return None
    return {
        metric: {
            step: mean_of(np.array([mean_of(np.array(by_case[case])) for case in cases]))
            for step, by_case in sorted(by_step.items())
        }
        for metric, by_step in values.items()
    }
