"""The table of the analysis of timesteps: how well each noise level's features segment, in every domain."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from autodiffseg.evaluation.caveats import seen_caveat
from autodiffseg.evaluation.paired_scores import foreground_means
from autodiffseg.evaluation.report_table import Cell, ReportTable
from autodiffseg.evaluation.statistics import Values, mean_of, std_of
from autodiffseg.evaluation.step_tables import EMPTY_MASKS
from autodiffseg.evaluation.summary import Summary

METRICS = ("Dice", "HD95")


class ReadStep(NamedTuple):
    """One base step of a pretrained denoiser, and what a read-out of it alone makes of each domain."""

    step: int
    decibels: float
    """10·log₁₀ of its signal-to-noise ratio, for images of variance 1."""
    domains: Mapping[str, Summary]
    """Domain -> scores."""
    transductive: bool = False
    """Whether the denoiser has seen images that are validated."""


def timesteps_table(read: Sequence[ReadStep], *, title: str, notes: Sequence[str]) -> ReportTable:
    """A row per step: of every domain mean and deviation over cases, and the means of the classes."""
    header, digits = ["step", "SNR [dB]"], [0, 1]
    for name, summary in read[0].domains.items():
        header += [f"Dice {name}", "±", *(f"{label}" for label in summary.classes.values())]
        digits += [4] * (2 + len(summary.classes))
    rows: list[tuple[Cell, ...]] = []
    for one in read:
        cells: list[Cell] = [one.step, one.decibels]
        for summary in one.domains.values():
            means = case_means(summary, "Dice")
            cells += [mean_of(means), std_of(means), *(summary.mean[key]["Dice"] for key in summary.classes)]
        rows.append(tuple(cells))
    counts = ", ".join(f"{name} {len(summary.cases)}" for name, summary in read[0].domains.items())
    told = (
        f"Cases: {counts}. Dice: mean, and standard deviation over cases, of a case's mean over the classes that its "
    )
    told += "own dataset declares; then means per class."
    seen = [str(one.step) for one in read if one.transductive]
    caveats = [seen_caveat([f"the probes (step {', '.join(seen)})"])] if seen else []
    return ReportTable(title, tuple(header), tuple(digits), tuple(rows), (told, EMPTY_MASKS, *caveats, *notes))


def timestep_panels(read: Sequence[ReadStep]) -> dict[str, dict[str, list[float]]]:
    """One panel with a line per domain."""
    return {
        "Dice": {name: [mean_of(case_means(one.domains[name], "Dice")) for one in read] for name in read[0].domains}
    }


def timestep_cases_csv(read: Sequence[ReadStep]) -> str:
    """A row per domain, step, case and class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["domain", "step", "case", "class", *METRICS])
    for one in read:
        for name, summary in one.domains.items():
            for case in summary.cases:
                for key, label in summary.classes.items():
                    numbers = [case.metrics[key].get(metric, math.nan) for metric in METRICS]
                    shown = ["" if math.isnan(number) else number for number in numbers]
                    writer.writerow([name, one.step, case.case, label, *shown])
    return text.getvalue()


def case_means(summary: Summary, metric: str) -> Values:
    """The mean of every case over the classes that have a value."""
    rows = [[case.metrics[key][metric] for key in summary.classes] for case in summary.cases]
    means: Values = foreground_means(np.array([rows], dtype=np.float64))[0]
    return means
