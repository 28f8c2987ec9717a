"""Panels: small pictures of one slice, as PNG inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from autodiffseg.workflows.overlay import draw_outlines

LONGEST_PX = 360
"""Of a picture's longer side, however large the case is: a page of forty stays within a few megabytes."""
SHORTEST_PX = 60
DPI = 100

Slice = npt.NDArray[Any]


def outline_panel(
    image: Slice,
    outlines: Mapping[bool, Slice],
    classes: list[tuple[int, ...]],
    *,
    pixel_mm: tuple[float, float],
    lower: bool,
    window: tuple[float, float],
) -> str:
    """Grey values with the outlines of label maps.

    Args:
        image: `(rows, columns)`, or with red, green and blue from 0 to 1 in a last axis.
        outlines: whether broad and dark, as the reference is -> slice of a label map.
        classes: the integers of every class.
        pixel_mm: height and width of a pixel.
        lower: whether the first row is at the bottom.
        window: grey values that are black and white.

    Returns:
        The picture as a data URI.
    """
    figure, plot = _canvas(image.shape[:2], pixel_mm)
    low, high = window
    plot.imshow(image, cmap="gray", vmin=low, vmax=high, aspect="auto", origin="lower" if lower else "upper")
    for broad, label in sorted(outlines.items(), reverse=True):
        draw_outlines(plot, label, classes, broad=broad)
    return _data_uri(figure)


def heat_panel(values: Slice, highest: float, *, pixel_mm: tuple[float, float], lower: bool) -> str:
    """A map from 0 (dark) to `highest` (bright), as a data URI."""
    figure, plot = _canvas(values.shape, pixel_mm)
    plot.imshow(values, cmap="viridis", vmin=0, vmax=highest or 1, aspect="auto", origin="lower" if lower else "upper")
    return _data_uri(figure)


def _canvas(shape: tuple[int, ...], pixel_mm: tuple[float, float]) -> tuple[Figure, Any]:
    """A figure that is all picture, in true proportions."""
    sides = np.array(shape) * np.array(pixel_mm)
    height, width = np.maximum(SHORTEST_PX, sides / sides.max() * LONGEST_PX) / DPI
    figure = Figure(figsize=(width, height), dpi=DPI)
    plot = figure.add_axes((0, 0, 1, 1))
    plot.set_axis_off()
    return figure, plot


def _data_uri(figure: Figure) -> str:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode("ascii")
