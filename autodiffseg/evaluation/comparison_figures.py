"""Figures of a comparison as SVG and PDF: scores per class, case against case, and curves over sampling steps."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autodiffseg.evaluation.case_columns import case_columns
from autodiffseg.evaluation.comparison import Comparison
from autodiffseg.evaluation.curve_plot import PALETTE, curves_figure, save_figure
from autodiffseg.evaluation.metrics import Metric, find_metric
from autodiffseg.evaluation.paired_scores import foreground_means
from autodiffseg.evaluation.statistics import mean_of
from autodiffseg.evaluation.step_curves import Curves

ENDINGS = (".svg", ".pdf")
MOST_COLUMNS = 3
FOREGROUND = "foreground mean"


def save_figures(comparison: Comparison, folder: Path, curves: Mapping[str, Curves]) -> list[Path]:
    """Write every figure in both formats.

    Args:
        comparison: what is shown.
        folder: of the files.
        curves: entrant -> scores per sampling step, of those that have them.

    Returns:
        The files.

    Raises:
        OSError: when the folder cannot be written to.
    """
    written: list[Path] = []
    for name in comparison.metrics:
        metric = find_metric(name)
        plain = re.sub(r"[^A-Za-z0-9.]+", "_", name)
        written += _save(class_figure(comparison, metric), folder / f"classes_{plain}")
        if len(comparison.entrants) > 1:
            written += _save(pairs_figure(comparison, metric), folder / f"pairs_{plain}")
    if curves:
        written += _save(steps_figure(curves), folder / "steps")
    if has_seeds(comparison):
        written += _save(seeds_figure(comparison, find_metric(comparison.metrics[0])), folder / "trainings")
    return written


def class_figure(comparison: Comparison, metric: Metric) -> Figure:
    """Per class a box and the single cases of every entrant; boxes span the quartiles, whiskers 1.5 times that."""
    titles = [*comparison.classes.values(), *([FOREGROUND] if len(comparison.classes) > 1 else [])]
    count = len(comparison.entrants)
    figure = Figure(figsize=(max(4.0, 1.2 + 0.45 * count * len(titles)), 4.2), layout="constrained")
    plot = figure.add_subplot()
    jitter = np.random.default_rng(0)
    for order, entrant in enumerate(comparison.entrants):
        colour = PALETTE[order % len(PALETTE)]
        for place, values in enumerate(case_columns(comparison, entrant, metric).T):
            known = values[~np.isnan(values)]
            if not known.size:
                continue
            at = place + (order + 0.5) / count * 0.8 - 0.4
            width = 0.8 / count * 0.7
            plot.boxplot(
                known, positions=[at], widths=width, showfliers=False, manage_ticks=False,
                medianprops={"color": colour, "linewidth": 2}, boxprops={"color": colour},
                whiskerprops={"color": colour}, capprops={"color": colour},
            )  # fmt: skip
            x = at + (jitter.random(known.size) - 0.5) * width
            plot.scatter(x, known, s=7, alpha=0.45, color=colour, linewidths=0, zorder=3)
        plot.scatter([], [], s=7, alpha=0.45, color=colour, linewidths=0, label=entrant.name)
    plot.set_xticks(range(len(titles)), titles)
    plot.set_xlim(-0.6, len(titles) - 0.4)
    _finish(figure, plot, metric)
    return figure


def pairs_figure(comparison: Comparison, metric: Metric) -> Figure:
    """Case against case: each entrant's foreground mean over the baseline's, a panel an entrant."""
    others = [entrant for entrant in comparison.entrants if entrant.name != comparison.baseline]
    (baseline,) = (entrant for entrant in comparison.entrants if entrant.name == comparison.baseline)
    columns = min(len(others), MOST_COLUMNS)
    rows = math.ceil(len(others) / columns)
    figure = Figure(figsize=(3.6 * columns, 3.6 * rows), layout="constrained")
    x = case_columns(comparison, baseline, metric)[:, -1]
    for place, entrant in enumerate(others, start=1):
        plot = figure.add_subplot(rows, columns, place)
        y = case_columns(comparison, entrant, metric)[:, -1]
        plot.scatter(x, y, s=14, alpha=0.6, color=PALETTE[-1], linewidths=0)
        both = np.concatenate([x, y])
        known = both[~np.isnan(both)]
        low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
        plot.plot([low, high], [low, high], color="#888888", linewidth=1, zorder=0)
        plot.set_xlabel(f"{baseline.name}: {metric.title}")
        plot.set_ylabel(entrant.name)
        plot.set_aspect("equal", adjustable="datalim")
        plot.grid(alpha=0.3)
        plot.spines[["top", "right"]].set_visible(False)
    return figure


def steps_figure(curves: Mapping[str, Curves]) -> Figure:
    """The mean scores after every sampling step, a line an entrant, a panel a metric."""
    metrics = [metric for metric in ("Dice", "HD95") if all(metric in found for found in curves.values())]
    positions = sorted({step for found in curves.values() for step in found[metrics[0]]})
    panels = {
        find_metric(metric).title: {
            name: [found[metric].get(step, math.nan) for step in positions] for name, found in curves.items()
        }
        for metric in metrics
    }
    return curves_figure(positions, panels, title="Scores after every sampling step", xlabel="sampling step")


def has_seeds(comparison: Comparison) -> bool:
    """Whether any entrant was trained several times."""
    return any(len(entrant.trainings) > 1 for entrant in comparison.entrants)


def seeds_figure(comparison: Comparison, metric: Metric) -> Figure:
    """A row an entrant: the foreground mean of every training as a dot, their mean as a bar."""
    figure = Figure(figsize=(6.4, 1.0 + 0.4 * len(comparison.entrants)), layout="constrained")
    plot = figure.add_subplot()
    for order, entrant in enumerate(comparison.entrants):
        values = entrant.values(comparison.cases, list(comparison.classes), metric.name)  # (trainings, cases, classes)
        means = [mean_of(row) for row in foreground_means(values)]
        colour = PALETTE[order % len(PALETTE)]
        plot.scatter(means, [order] * len(means), s=42, color=colour, alpha=0.7, linewidths=0)
        plot.scatter([mean_of(np.array(means))], [order], s=260, marker="|", color=colour)
    plot.set_yticks(range(len(comparison.entrants)), [entrant.name for entrant in comparison.entrants])
    plot.set_ylim(len(comparison.entrants) - 0.5, -0.5)
    plot.set_xlabel(f"{metric.title}, mean over cases")
    plot.grid(alpha=0.3, axis="x")
    plot.spines[["top", "right"]].set_visible(False)
    return figure


def _finish(figure: Figure, plot: Axes, metric: Metric) -> None:
    plot.set_ylabel(metric.title)
    plot.grid(alpha=0.3, axis="y")
    plot.spines[["top", "right"]].set_visible(False)
    handles, labels = plot.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 4) or 1, frameon=False, markerscale=2.5
    )


def _save(figure: Figure, stem: Path) -> list[Path]:
    paths = [stem.with_name(f"{stem.name}{ending}") for ending in ENDINGS]
    for path in paths:
        save_figure(figure, path)
    return paths
