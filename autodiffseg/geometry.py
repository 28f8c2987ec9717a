"""Axis order, declared once, and the place of a voxel grid in the world.

Arrays are `(C, Z, Y, X)` or `(Z, Y, X)`; a 2D image has Z = 1. Spacing is `(z, y, x)` in mm. SimpleITK's `(x, y, z)`
is turned round in `autodiffseg.images` and nowhere else; origin and direction are kept as SimpleITK gives them,
because nothing but the writer needs them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

SPACING_TOLERANCE = 1e-3
"""Relative difference of spacing up to which two files are on one grid."""


class Geometry(BaseModel):
    """Where a voxel grid lies: enough to write a label map onto the grid of the image it belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int, int]
    """Voxels along (z, y, x); z is 1 for a 2D image."""
    spacing: tuple[float, float, float]
    """mm along (z, y, x). A 2D image has 1 along z; formats without physical spacing have 1 everywhere."""
    origin: tuple[float, ...]
    """SimpleITK's origin, in its own axis order: 2 or 3 numbers."""
    direction: tuple[float, ...]
    """SimpleITK's direction cosines, row by row: 4 or 9 numbers."""

    @property
    def dimensions(self) -> int:
        """2 or 3: how many axes the file has."""
        return len(self.origin)


def show_spacing(spacing: Sequence[float]) -> str:
    """A spacing as messages show it: "(2.5, 0.9766, 0.9766)"."""
    return "(" + ", ".join(f"{step:.4g}" for step in spacing) + ")"
