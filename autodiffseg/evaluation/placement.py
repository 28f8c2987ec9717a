"""Whether predictions lie on their references in the world, before they are scored voxel by voxel."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.images import read_geometry

TOLERANCE = 1e-3
"""mm for the origin, absolute for direction cosines: float noise of the writers."""

logger = logging.getLogger("autodiffseg")


def require_same_orientation(pairs: Mapping[str, tuple[Path, Path]]) -> None:
    """Refuse predictions whose voxel axes run elsewhere than their references'; warn once of other differences.

    Only headers are read. What cannot be read, or has another shape, is left to the scoring, which names every such
    case.

    Args:
        pairs: case -> prediction, reference.

    Raises:
        UserError: names the first prediction whose axes are permuted or flipped, and says how many are.
    """
    turned, moved = [], []
    for case, (prediction, reference) in pairs.items():
        try:
            ours, theirs = read_geometry(prediction), read_geometry(reference)
        except UserError:
            continue
        if ours.shape != theirs.shape or ours.dimensions != theirs.dimensions:
            continue
        if has_other_axes(ours, theirs):
            turned.append(case)
        elif not _is_near(ours.direction, theirs.direction) or not _is_near(ours.origin, theirs.origin):
            moved.append(case)
    if turned:
        first, reference = pairs[turned[0]]
        more = f" (and {len(turned) - 1} more)" if len(turned) > 1 else ""
        raise UserError(
            f"{first}{more} has other voxel axes than {reference}: permuted or flipped; "
            "store it in the reference's orientation, since scores compare voxel with voxel."
        )
    if moved:
        cases = "1 case" if len(moved) == 1 else f"{len(moved)} cases"
        logger.warning(
            "The origin or direction of predictions differs from the references': %s, first: %s. They are scored voxel "
            "by voxel; see whether they overlay.",
            cases,
            moved[0],
        )


def has_other_axes(ours: Geometry, theirs: Geometry) -> bool:
    """Whether a voxel axis of one grid runs along another axis of the other, or against it.

    An axis of one voxel has no sense to be flipped.

    Args:
        ours: with as many axes as `theirs`.
        theirs: of the same shape.
    """
    if _is_near(ours.direction, theirs.direction):
        return False
    count = ours.dimensions
    # Columns are the axes x, y, z in the world; entry (i, j) is the cosine between their axis i and our axis j.
    cosines = np.reshape(theirs.direction, (count, count)).T @ np.reshape(ours.direction, (count, count))
    nearest = np.abs(cosines).argmax(axis=0)
    return any(
        nearest[axis] != axis or cosines[axis, axis] < 0
        for axis, voxels in enumerate(ours.shape[::-1][:count])
        if voxels > 1
    )


def _is_near(ours: tuple[float, ...], theirs: tuple[float, ...]) -> bool:
    return np.allclose(ours, theirs, rtol=0, atol=TOLERANCE)
