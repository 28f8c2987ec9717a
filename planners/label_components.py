"""Connected components of the classes of a label map: how many, and how large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.fingerprint import ComponentStatistics, Spread
from autodiffseg.labels import LabelSpec
from autodiffseg.postprocessing.components import box_around, number_components, value_boxes


class CaseComponents(NamedTuple):
    """The components of one class in one case; sizes in voxels. One number stands for any number of components."""

    number: int
    smallest: int
    median: float
    largest: int


def case_components(label: npt.NDArray[Any], spec: LabelSpec) -> dict[str, CaseComponents]:
    """Components of every foreground class or region that a label map `(Z, Y, X)` has."""
    boxes = value_boxes(label)
    found = {}
    for name, members in spec.foreground.items():
        box = box_around(boxes, members)
        if box is None:
            continue
        around = label[box]
        sizes = component_sizes(np.isin(around, members) if len(members) > 1 else around == members[0])
        found[name] = CaseComponents(len(sizes), int(sizes.min()), float(np.median(sizes)), int(sizes.max()))
    return found


def component_sizes(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Voxels of each component of a mask `(Z, Y, X)`; empty for an empty mask."""
    return number_components(mask)[1]


def summarise(cases: Sequence[CaseComponents], voxel_volumes_mm3: Sequence[float]) -> ComponentStatistics:
    """One class over the cases that have it; each case weighs the same in the medians.

    Args:
        cases: at least one.
        voxel_volumes_mm3: of each of these cases.
    """
    counts = [case.number for case in cases]
    units = np.ones(len(cases))
    return ComponentStatistics(
        per_case=Spread(min=min(counts), median=float(np.median(counts)), max=max(counts)),
        voxels=_sizes(cases, units),
        volume_mm3=_sizes(cases, np.asarray(voxel_volumes_mm3)),
    )


def _sizes(cases: Sequence[CaseComponents], unit: npt.NDArray[np.float64]) -> Spread:
    return Spread(
        min=float(np.min(unit * [case.smallest for case in cases])),
        median=float(np.median(unit * [case.median for case in cases])),
        max=float(np.max(unit * [case.largest for case in cases])),
    )
