"""Surface elements: the piece of a mask's surface in every cell of 2 x 2 x 2 voxel centres, and its area in mm².

The corners of a cell are voxel centres, each inside the mask or outside. Between an inside and an outside corner the
surface crosses the edge at its middle, as in marching cubes (Lorensen and Cline 1987, doi 10.1145/37402.37422); only
that the table is not written down here but follows from three rules:

1. The surface cuts off the corners of the rarer kind (inside or outside; with four of each both give the same area).
   Corners that share an edge of the cell are cut off together, others apart, so there are no ambiguous faces.
2. Its outline runs through the middles of the crossed edges.
3. It is filled by triangles that fan out from one of these: from one whose opposite edge of the cell is crossed too, if
   there is one. This matters for two shapes alone, three corners and a chain of four; other outlines lie in a plane.

Areas stretch with the spacing, so a table of area vectors serves every spacing. In 2D a cell is 2 x 2 pixels and its
element a line in mm; in 1D it is a point that counts 1. The idea of weighing distances by such areas is that of Nikolov
et al. (arXiv 1809.04430).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.evaluation.mask_pair import Mask, MaskPair, Places

Corner = tuple[int, ...]
Values = npt.NDArray[np.float64]


class SurfaceElements(NamedTuple):
    """The pieces of a surface."""

    cells: Places
    """`(n, axes)` voxels: the corner of each cell with the highest coordinates."""
    areas: Values
    """`(n,)` mm² in 3D, mm in 2D."""


def surface_elements(pair: MaskPair, mask: Mask) -> SurfaceElements:
    """The elements of one of the masks of a pair."""
    codes = np.zeros([size - 1 for size in mask.shape], dtype=np.uint8)
    for bit, corner in enumerate(_corners(mask.ndim)):
        shifted = mask[tuple(slice(1, None) if step else slice(None, -1) for step in corner)]
        codes |= shifted.view(np.uint8) << np.uint8(bit)
    cut = np.zeros(mask.shape, dtype=bool)
    whole = (1 << (1 << mask.ndim)) - 1
    cut[(slice(1, None),) * mask.ndim] = (codes > 0) & (codes < whole)
    table = element_areas(pair.spacing_mm)
    return SurfaceElements(pair.coordinates(cut), table[codes[cut[(slice(1, None),) * mask.ndim]]])


def element_areas(spacing_mm: Sequence[float]) -> Values:
    """Area of the element of every cell, by its code: corner k of `itertools.product((0, 1), …)` has the bit 2^k.

    Args:
        spacing_mm: 1 to 3 numbers.

    Returns:
        `(2 ** 2 ** axes,)` mm² in 3D, mm in 2D, 1 or 0 in 1D.
    """
    axes = len(spacing_mm)
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    # A length stretches by the spacing along it; an area vector by the product of the other two.
    stretch = {1: np.ones(1), 2: spacing, 3: spacing.prod() / spacing}[axes]
    areas: Values = np.linalg.norm(_element_vectors(axes) * stretch, axis=2).sum(axis=1)
    return areas


@functools.cache
def _element_vectors(axes: int) -> Values:
    """`(codes, pieces, axes)`: area vectors of triangles in 3D, lines in 2D, at a spacing of 1; padded with zeros."""
    corners = _corners(axes)
    rows = []
    for code in range(1 << len(corners)):
        inside = [corner for bit, corner in enumerate(corners) if code >> bit & 1]
        outside = [corner for corner in corners if corner not in inside]
        rarer = inside if len(inside) <= len(outside) else outside
        rows.append([piece for part in _joined(rarer) for piece in _pieces(part)])
    table = np.zeros((len(rows), max(map(len, rows)), axes))
    for row, pieces in zip(table, rows, strict=True):
        row[: len(pieces)] = np.array(pieces).reshape(-1, axes)
    return table


def _corners(axes: int) -> list[Corner]:
    return list(itertools.product((0, 1), repeat=axes))


def _joined(corners: list[Corner]) -> list[list[Corner]]:
    """Corners in groups that hang together over edges of the cell."""
    groups: list[list[Corner]] = []
    for corner in corners:
        touched = [group for group in groups if any(math.dist(corner, other) == 1 for other in group)]
        groups = [group for group in groups if group not in touched]
        groups.append([corner, *itertools.chain.from_iterable(touched)])
    return groups


def _pieces(part: list[Corner]) -> list[Values]:
    """Area vectors of the surface that cuts off corners which hang together."""
    outline = _outline(part)
    if outline.shape[1] == 1:
        return [np.ones(1)] * len(outline)
    if outline.shape[1] == 2:
        return [outline[1] - outline[0]]
    opposite_too = [bool(np.all(outline == 1 - crossing, axis=1).any()) for crossing in outline]
    tip = int(np.argmax(opposite_too))  # the first of all where there is none
    others = np.roll(outline, -tip, axis=0)[1:] - outline[tip]
    return list(np.cross(others[:-1], others[1:]) / 2)


def _outline(part: list[Corner]) -> Values:
    """`(n, axes)`: the middles of the edges between `part` and the other corners, in order around it."""
    crossings = [
        (np.array(corner) + other) / 2
        for corner in part
        for other in ((*corner[:axis], 1 - corner[axis], *corner[axis + 1 :]) for axis in range(len(corner)))
        if other not in part
    ]
    ordered = [crossings.pop(0)]
    while crossings:  # the next one lies on a face of the cell that the last one lies on
        shared = (
            index
            for index, crossing in enumerate(crossings)
            if np.any((crossing == ordered[-1]) & np.isin(crossing, (0, 1)))
        )
        ordered.append(crossings.pop(next(shared, 0)))
    return np.stack(ordered)
