"""Training curves: loss and patch Dice over the updates, from the progress.csv of the compared runs."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from autodiffseg.evaluation.comparison import Comparison
from autodiffseg.evaluation.curve_plot import PALETTE
from autodiffseg.runs import fold_folder

FILE = "progress.csv"
SHOWN = {"loss": "training loss", "validation_patch_dice": "Dice of validation patches"}
"""Column -> its name in the figure."""
MOST_POINTS = 300
"""Of a line; more are averaged in blocks."""
FEW_POINTS = 30
"""Lines of no more have a dot at each."""

Curve = tuple[list[float], list[float]]
"""Updates, values."""


def training_curves(comparison: Comparison) -> dict[str, list[dict[str, Curve]]]:
    """Entrant -> for each of its trainings and folds: column -> curve. Without entrants that have no progress.csv."""
    found: dict[str, list[dict[str, Curve]]] = {}
    for entrant in comparison.entrants:
        for run in entrant.facts.get("runs", ()):
            for fold in run["folds"]:
                path = fold_folder(Path(run["folder"]), fold) / FILE
                curves = dict(_read(path)) if path.is_file() else {}
                if curves:
                    found.setdefault(entrant.name, []).append(curves)
    return found


def training_figure(column: str, curves: Mapping[str, Sequence[Mapping[str, Curve]]], order: Sequence[str]) -> Figure:
    """A column of progress.csv; folds and trainings of an entrant share a colour, that of its place in `order`."""
    figure = Figure(figsize=(4.2, 3.4), layout="constrained")
    plot = figure.add_subplot()
    colours = {name: PALETTE[list(order).index(name) % len(PALETTE)] for name in curves}
    shown = [
        (colours[name], training[column])
        for name, trainings in curves.items()
        for training in trainings
        if column in training
    ]
    for colour, (updates, values) in shown:
        marker = "o" if len(values) <= FEW_POINTS else None
        plot.plot(updates, values, color=colour, linewidth=1.3, alpha=0.85, marker=marker, markersize=4)
    if column == "loss" and all(min(values) > 0 for _, (_, values) in shown):
        plot.set_yscale("log")
        plot.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # not as a formula
        plot.yaxis.set_minor_formatter(NullFormatter())
    plot.set_ylabel(SHOWN[column])
    plot.set_xlabel("update")
    plot.grid(alpha=0.3)
    plot.spines[["top", "right"]].set_visible(False)
    handles = [Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 3), frameon=False)
    return figure


def _read(path: Path) -> Iterator[tuple[str, Curve]]:
    """The curves of one file; a damaged row ends it, for a curve is no result."""
    rows: list[dict[str, float]] = []
    with path.open(encoding="utf-8", newline="", errors="replace") as file:
        for row in csv.DictReader(file):
            try:
                rows.append({name: float(row[name]) for name in ("update", *SHOWN)})
            except (KeyError, TypeError, ValueError):
                break
    for column in SHOWN:
        points = [(row["update"], row[column]) for row in rows if math.isfinite(row[column])]
        if points:
            yield column, _thinned(points)


def _thinned(points: list[tuple[float, float]]) -> Curve:
    """At most MOST_POINTS, each the mean of a block of neighbours."""
    blocks = np.array_split(np.array(points), min(len(points), MOST_POINTS))
    means = [block.mean(axis=0) for block in blocks]
    return [float(mean[0]) for mean in means], [float(mean[1]) for mean in means]
