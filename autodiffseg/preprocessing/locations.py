"""Where the voxels of each foreground class lie: what patch sampling needs to oversample the foreground."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autodiffseg.labels import LabelSpec

MOST_LOCATIONS = 10_000
"""Voxels kept per class: enough that no patch centre comes twice, few enough to be read with every patch."""
SEED = 1234


def class_voxels(label: npt.NDArray[Any], spec: LabelSpec) -> dict[str, int]:
    """Voxels of each foreground class or region in a label map `(Z, Y, X)`."""
    values, counts = np.unique(label, return_counts=True)
    of_value = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return {name: sum(of_value.get(member, 0) for member in members) for name, members in spec.foreground.items()}


def class_locations(label: npt.NDArray[Any], spec: LabelSpec) -> dict[int, npt.NDArray[np.int32]]:
    """Voxels of each foreground class or region, at most 10,000 of each, drawn without replacement by a fixed seed.

    Args:
        label: `(Z, Y, X)` integers.

    Returns:
        Index in the order of `spec.foreground` -> `(n, 3)` int32 voxels (z, y, x), in the order of the array.
    """
    flat = label.reshape(-1)
    positive = np.flatnonzero(flat > 0)  # one pass over the volume, however many classes there are
    values = flat[positive]
    locations = {}
    for index, members in enumerate(spec.foreground.values()):
        own = positive[np.isin(values, members) if len(members) > 1 else values == members[0]]
        if len(own) > MOST_LOCATIONS:
            draw = np.random.default_rng([SEED, index])
            own = np.sort(draw.choice(own, MOST_LOCATIONS, replace=False))
        locations[index] = np.stack(np.unravel_index(own, label.shape), axis=1).astype(np.int32)
    return locations
