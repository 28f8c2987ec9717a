"""Cells of the recycling study's tables, and a table of them as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from study_runs import Run
from study_state import SeedsDifference, Trained

from autodiffseg.evaluation.statistics import Interval, mean_of, std_of

DASH = "–"


def seeds_of(found: Trained | None, runs: Sequence[Run]) -> str:
    """Which trainings are in a row, and how many lack."""
    lacking = len(runs) - (len(found.seeds) if found else 0)
    there = ", ".join(map(str, found.seeds)) if found else "none"
    return there + (f" ({lacking} missing)" if lacking else "")


def over_cases(found: Trained | None, metric: str) -> str:
    """Mean ± standard deviation over cases of a case's mean over trainings."""
    if found is None:
        return DASH
    values, digits = found.values.mean(axis=0), 4 if metric == "Dice" else 2
    return f"{mean_of(values):.{digits}f} ± {std_of(values):.{digits}f}"


def against_cells(found: SeedsDifference | None, p: float | None, *, baseline: bool) -> list[str]:
    """Difference, adjusted p and whether it is on par."""
    if baseline:
        return ["baseline", DASH, DASH]
    if found is None:
        return [DASH] * 3
    return [interval_text(found.interval), p_text(p), "yes" if found.on_par else "no"]


def p_text(p: float | None) -> str:
    """A p-value, or a dash."""
    return DASH if p is None else "<0.0001" if p < 1e-4 else f"{p:.4f}"


def interval_text(interval: Interval, *, scale: float = 100) -> str:
    """With its ends; in points of a hundred, unless scaled otherwise."""
    mean, low, high = (scale * end for end in interval)
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def number(value: float, digits: int) -> str:
    """A number, or a dash."""
    return DASH if np.isnan(value) else f"{value:.{digits}f}"


def percent(share: float) -> str:
    """A share in whole percents, or a dash."""
    return DASH if np.isnan(share) else f"{100 * share:.0f} %"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
