"""Colours of classes, for pictures of label maps."""

from __future__ import annotations

import colorsys
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7")
"""Okabe and Ito's palette: told apart with any colour vision, and on grey."""


def class_colours(count: int) -> list[str]:
    """As many colours as there are classes; beyond the palette they are taken round the hue circle."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    circle = [colorsys.hsv_to_rgb(place / count, 1.0, 1.0) for place in range(count)]
    return ["#" + "".join(f"{round(255 * part):02x}" for part in colour) for colour in circle]


def colour_table(values: Collection[int]) -> npt.NDArray[np.uint8]:
    """Red, green and blue of every label value, `(256, 3)`; what is not in `values` is black."""
    table = np.zeros((256, 3), np.uint8)
    for value, colour in zip(sorted(values), class_colours(len(values)), strict=True):
        table[value] = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return table
