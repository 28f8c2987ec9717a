"""Tables as the page shows them: every cell with the number that it is sorted by."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from autodiffseg.evaluation.case_columns import badness, best_rival, case_columns
from autodiffseg.evaluation.comparison import Comparison
from autodiffseg.evaluation.comparison_tables import NOTHING
from autodiffseg.evaluation.marked_table import Cell, MarkedTable
from autodiffseg.evaluation.metrics import Metric

MOST_CASES = 1000
"""Rows of the table of cases; a page with more is slow to scroll on a phone."""


@dataclass(frozen=True)
class SortedCell:
    """A cell and its place in the order of its column."""

    cell: Cell
    number: str
    """"" for what has no value: it stands last in either order, and for texts."""


@dataclass(frozen=True)
class PageTable:
    """A table of the page."""

    title: str
    header: tuple[str, ...]
    names: int
    """How many of the first columns are names."""
    rows: tuple[tuple[SortedCell, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """By column, whether it is sorted by numbers."""
        return tuple(place >= self.names for place in range(len(self.header)))


def page_table(table: MarkedTable) -> PageTable:
    """A table of a comparison, to be sorted by the number that each cell begins with, else by its words."""
    rows = tuple(
        tuple(
            SortedCell(cell, first_number(cell.text) if place >= table.names else "") for place, cell in enumerate(row)
        )
        for row in table.rows
    )
    return PageTable(table.title, table.header, table.names, rows)


def first_number(text: str) -> str:
    """The number that a text begins with, "" where it is a word; a bound like <0.0001 comes before 0.0001."""
    found = re.match(r"\[?(<?)([-+]?\d+(?:\.\d+)?)", text)
    if found is None:
        return ""
    return str(float(found[2]) / 2) if found[1] else str(float(found[2]))


def cases_table(comparison: Comparison, metric: Metric) -> tuple[PageTable, str]:
    """A row a case, from worst to best: the foreground mean of every entrant; and a sentence about rows left out."""
    values = np.stack([case_columns(comparison, entrant, metric)[:, -1] for entrant in comparison.entrants], axis=1)
    rival = best_rival(comparison, metric)
    names = [entrant.name for entrant in comparison.entrants]
    header = ["Case", *(["Group"] if comparison.groups is not None else []), *names]
    if rival is not None:
        header.append(f"{rival.name} less {comparison.baseline}")
    order = sorted(range(len(comparison.cases)), key=lambda place: (_worst_first(values[place], metric), place))
    rows = []
    for place in order[:MOST_CASES]:
        cells = [SortedCell(Cell(comparison.cases[place]), "")]
        if comparison.groups is not None:
            cells.append(SortedCell(Cell(comparison.groups[place]), ""))
        cells += [_number(value, metric) for value in values[place]]
        if rival is not None:
            difference = values[place, names.index(rival.name)] - values[place, names.index(comparison.baseline)]
            cells.append(_number(difference, metric, signed=True))
        rows.append(tuple(cells))
    left_out = len(order) - len(rows)
    told = f"The worst {len(rows)} of {len(order)} cases; all are in comparison_cases.csv." if left_out else ""
    return PageTable(f"{metric.title} of every case", tuple(header), len(header) - len(rows[0][1:]), tuple(rows)), told


def _worst_first(values: np.ndarray[tuple[int], np.dtype[np.float64]], metric: Metric) -> float:
    known = values[~np.isnan(values)]
    return -badness(float(known.mean()), metric) if known.size else math.inf


def _number(value: float, metric: Metric, *, signed: bool = False) -> SortedCell:
    if math.isnan(value):
        return SortedCell(Cell(NOTHING), "")
    return SortedCell(Cell(f"{value:{'+' if signed else ''}.{metric.digits}f}"), f"{value:.8g}")


def glance(comparison: Comparison, metric: Metric) -> Iterator[str]:
    """A sentence an entrant: its mean, and how it stands to the baseline."""
    from autodiffseg.evaluation.comparison_tables import show_p, verdict

    for entrant in comparison.entrants:
        score = comparison.score(entrant.name, metric.name)
        if math.isnan(score.mean):
            yield f"{entrant.name}: no {metric.name}."
            continue
        low, high = score.interval.low, score.interval.high
        digits = metric.digits
        told = f"{entrant.name}: {metric.title} {score.mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
        if entrant.name == comparison.baseline:
            yield f"{told}, the baseline."
            continue
        difference = score.difference
        if math.isnan(difference.mean):
            yield f"{told}."
            continue
        yield (
            f"{told}, {difference.mean:+.{digits}f} [{difference.low:+.{digits}f}, {difference.high:+.{digits}f}] "
            f"against {comparison.baseline} (p {show_p(score.p_adjusted)}): {verdict(comparison, entrant, metric)}."
        )
