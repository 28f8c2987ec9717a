"""Reliability diagram: hit rate over confidence, with the voxels of each bin below, as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autodiffseg.atomic import atomic_path
from autodiffseg.evaluation.calibration import Reliability
from autodiffseg.evaluation.curve_plot import MARKERS, PALETTE

FEWEST_VOXELS = 20
"""The hit rate of fewer voxels is not drawn: it would only show chance."""


def save_reliability(path: Path, panels: Mapping[str, Mapping[str, Reliability]], *, title: str) -> None:
    """Draw one column a panel and write the picture atomically; the ending of `path` chooses the format.

    Args:
        path: of the picture.
        panels: name of an area -> name of a statement -> its voxels. All panels have the same statements.
        title: above all.
    """
    figure = Figure(figsize=(4.8 * len(panels), 6.2), layout="constrained")
    figure.suptitle(title)
    grid = figure.add_gridspec(2, len(panels), height_ratios=(3, 1))
    for column, (name, statements) in enumerate(panels.items()):
        above = figure.add_subplot(grid[0, column])
        below = figure.add_subplot(grid[1, column], sharex=above)
        _draw_panel(above, below, statements, name)
    handles, labels = above.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _draw_panel(above: Axes, below: Axes, statements: Mapping[str, Reliability], name: str) -> None:
    above.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--", label="calibrated")
    for order, (statement, found) in enumerate(statements.items()):
        shown = found.voxels >= FEWEST_VOXELS
        confidence = found.confidence[shown] / found.voxels[shown]
        rate = found.hits[shown] / found.voxels[shown]
        colour, marker = PALETTE[order % len(PALETTE)], MARKERS[order % len(MARKERS)]
        above.plot(confidence, rate, color=colour, marker=marker, markersize=4, linewidth=1.4, label=statement)
        edges = np.linspace(0, 1, len(found.voxels) + 1)
        voxels = np.where(found.voxels > 0, found.voxels, np.nan)  # on a logarithmic scale nothing has no place
        below.stairs(voxels, edges, color=colour, linewidth=1.4)
    above.set_title(name)
    above.set_ylabel("hit rate")
    above.set_xlim(0, 1)
    above.set_ylim(0, 1)
    above.tick_params(labelbottom=False)
    below.set_yscale("log")
    below.set_ylabel("voxels")
    below.set_xlabel("confidence")
