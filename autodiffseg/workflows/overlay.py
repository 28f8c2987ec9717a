"""Overlay: slices of a scan with the outlines of a reference and of a prediction, as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autodiffseg.atomic import atomic_path
from autodiffseg.label_colours import class_colours

PLANES = ("axial (y, x)", "coronal (z, x)", "sagittal (z, y)")
"""Names of the planes across the axes z, y and x of an array whose axes follow the body."""

Volume = npt.NDArray[np.generic]


def save_overlay(
    path: Path,
    image: Volume,
    outlines: Mapping[str, Volume],
    *,
    classes: Mapping[str, tuple[int, ...]],
    spacing_mm: tuple[float, float, float],
    title: str = "",
) -> None:
    """Draw the slices that hold most foreground, one per plane, and write them as PNG.

    Args:
        path: where the picture appears, atomically.
        image: `(Z, Y, X)` grey values; Z = 1 gives a single plane.
        outlines: what is outlined (`{"reference": …, "prediction": …}`) -> label map `(Z, Y, X)`; the first is drawn
            broad and dark, the others thin and bright.
        classes: class or region -> the integers that belong to it.
        spacing_mm: (z, y, x), so that a voxel has its true proportions.
        title: stands above the picture.
    """
    first = next(iter(outlines.values()))
    foreground = np.isin(first, [value for members in classes.values() for value in members])
    axes_shown = (0,) if image.shape[0] == 1 else (0, 1, 2)
    low, high = np.percentile(image.astype(np.float32), [0.5, 99.5])

    figure = Figure(figsize=(4.2 * len(axes_shown), 5.0), layout="constrained")
    for place, axis in enumerate(axes_shown, start=1):
        index = fullest_slice(foreground, axis)
        plot = figure.add_subplot(1, len(axes_shown), place)
        across = [spacing for other, spacing in enumerate(spacing_mm) if other != axis]
        plot.imshow(
            np.take(image, index, axis=axis),
            cmap="gray",
            vmin=low,
            vmax=high,
            aspect=across[0] / across[1],
            origin="upper" if axis == 0 else "lower",  # anterior up in axial slices, head up in the others
        )
        plot.set_title(f"{PLANES[axis]}, slice {index}" if len(axes_shown) > 1 else "", fontsize=10)
        plot.set_axis_off()
        for order, label in enumerate(outlines.values()):
            draw_outlines(plot, np.take(label, index, axis=axis), list(classes.values()), broad=order == 0)
    figure.suptitle(title)
    columns = 2 * len(axes_shown)  # as many as the width has room for
    figure.legend(
        handles=list(_legend(list(outlines), list(classes))), loc="outside lower center", ncols=columns, frameon=False
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def fullest_slice(mask: npt.NDArray[np.bool_], axis: int) -> int:
    """The slice across `axis` with the most voxels of `mask` `(Z, Y, X)`; the middle one when there are none."""
    counts = mask.sum(axis=tuple(other for other in range(mask.ndim) if other != axis))
    return int(counts.argmax()) if counts.any() else mask.shape[axis] // 2


def draw_outlines(plot: Axes, label: Volume, classes: list[tuple[int, ...]], *, broad: bool) -> None:
    """The outlines of all classes in a slice; smaller ones come on top, so that a core inside a shell keeps its own.

    Args:
        plot: that shows the slice.
        label: a slice of a label map, `(rows, columns)`.
        classes: the integers of every class, in the order of their colours.
        broad: broad and dark, as a reference is drawn; else thin and bright.
    """
    masks = [np.isin(label, members) for members in classes]
    pairs = sorted(zip(masks, class_colours(len(classes)), strict=True), key=lambda pair: -int(pair[0].sum()))
    for mask, colour in pairs:
        if mask.any() and not mask.all():  # matplotlib warns when there is no contour to draw
            plot.contour(
                mask.astype(np.float32), levels=[0.5], colors=[_shade(colour, broad)], linewidths=_width(broad)
            )


def _legend(outlines: list[str], classes: list[str]) -> Iterator[Line2D]:
    for order, name in enumerate(outlines):
        broad = order == 0
        yield Line2D([], [], color="dimgray" if broad else "darkgray", linewidth=_width(broad), label=name)
    for colour, name in zip(class_colours(len(classes)), classes, strict=True):
        yield Line2D([], [], color=colour, linewidth=8, label=name)


def _width(broad: bool) -> float:
    return 4.5 if broad else 1.5


def _shade(colour: str, dark: bool) -> tuple[float, float, float]:
    red, green, blue = to_rgb(colour)
    share = 0.55 if dark else 1.0
    return (share * red, share * green, share * blue)
