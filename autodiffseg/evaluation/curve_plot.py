"""Curve plot: lines over sampling steps, one panel a metric, as PNG, SVG or PDF."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from autodiffseg.atomic import atomic_path

PALETTE = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#0072b2")
"""Black, and Okabe and Ito's colours without the yellow, which is not seen as a line on white."""
MOST_TICKS = 14
MARKERS = "osD^vP*X"
AXIS_INCHES, DIGIT_INCHES = 3.7, 0.1
"""Of a panel, and of a digit below it with some space."""

Panel = Mapping[str, Sequence[float]]
"""Name of a line -> its values; NaN leaves a gap."""


def save_curves(
    path: Path,
    positions: Sequence[int],
    panels: Mapping[str, Panel],
    *,
    title: str,
    xlabel: str,
    logarithmic: bool = False,
) -> None:
    """Draw panels side by side and write them to `path` as PNG, SVG or PDF, atomically; see `curves_figure`."""
    save_figure(curves_figure(positions, panels, title=title, xlabel=xlabel, logarithmic=logarithmic), path)


def curves_figure(
    positions: Sequence[int],
    panels: Mapping[str, Panel],
    *,
    title: str,
    xlabel: str,
    logarithmic: bool = False,
) -> Figure:
    """Panels side by side.

    Args:
        positions: whole numbers along x, one per value of a line.
        panels: label of the y axis -> lines. All panels have the same lines; the first is drawn boldest.
        title: above all.
        xlabel: below each panel.
        logarithmic: scale of x, for numbers of steps that double.
    """
    figure = Figure(figsize=(4.8 * len(panels), 4.4), layout="constrained")
    names = list(next(iter(panels.values())))
    for place, (ylabel, lines) in enumerate(panels.items(), start=1):
        plot = figure.add_subplot(1, len(panels), place)
        for order, name in enumerate(names):
            _draw(plot, positions, lines[name], order=order, lines=len(names), name=name)
        if logarithmic:
            plot.set_xscale("log")
        plot.xaxis.set_minor_locator(NullLocator())
        ticks = list(positions[:: -(-len(positions) // MOST_TICKS)])
        plot.set_xticks(ticks, [str(position) for position in ticks])
        if _touch(ticks, logarithmic=logarithmic):
            plot.tick_params(axis="x", labelrotation=90, labelsize=8)
        plot.set_xlabel(xlabel)
        plot.set_ylabel(ylabel)
        plot.grid(alpha=0.3)
        plot.spines[["top", "right"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if len(names) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(names), 6), frameon=False)
    figure.suptitle(title, fontsize=11)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, SVG or PDF, atomically; the same figure gives the same bytes: no date, no random ids."""
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
    with rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}), atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, metadata=undated)


def _touch(ticks: Sequence[int], *, logarithmic: bool) -> bool:
    """Whether two numbers below the x axis would touch, each written along it."""
    places = [math.log(max(tick, 1)) if logarithmic else tick for tick in ticks]
    span = max(places[-1] - places[0], 1e-9)
    return any(
        (right - left) / span * AXIS_INCHES < DIGIT_INCHES * (len(str(first)) + len(str(second))) / 2
        for left, right, first, second in zip(places, places[1:], ticks, ticks[1:], strict=False)
    )


def _draw(plot: Axes, x: Sequence[int], y: Sequence[float], *, order: int, lines: int, name: str) -> None:
    few = lines <= len(PALETTE)
    colour = PALETTE[order] if few or order == 0 else colormaps["hsv"]((order - 1) / (lines - 1))
    plot.plot(
        x,
        y,
        color=colour,
        marker=MARKERS[order % len(MARKERS)],
        markersize=5,
        linewidth=2.4 if order == 0 else 1.3,
        label=name,
        zorder=3 if order == 0 else 2,
    )
