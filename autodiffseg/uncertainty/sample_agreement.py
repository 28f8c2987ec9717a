"""SampleAgreement: how far the label maps of several samples of one case agree, class by class."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.evaluation.overlap import LabelMap
from autodiffseg.labels import LabelSpec
from autodiffseg.preprocessing.crop import box_slices, mask_box

Box = tuple[slice, ...]
NOWHERE: Box = (slice(0, 0),) * 3


class SampleAgreement:
    """Takes label maps one by one and keeps the box around the foreground of each.

    A label map is one byte a voxel, and its box is a fraction of the image.
    """

    def __init__(self, spec: LabelSpec) -> None:
        """Judge the foreground classes or regions of `spec`."""
        self._spec = spec
        self._kept: list[_Foreground] = []

    def add(self, label: LabelMap) -> None:
        """Take the label map `(Z, Y, X)` of the next sample; all have one shape."""
        self._kept.append(_foreground(label))

    @property
    def samples(self) -> int:
        """Label maps taken."""
        return len(self._kept)

    def voxels(self) -> dict[str, list[int]]:
        """Class or region -> its voxels in each sample."""
        return {
            name: [int(np.isin(kept.label, members).sum()) for kept in self._kept]
            for name, members in self._spec.foreground.items()
        }

    def pairwise_dice(self) -> dict[str, float]:
        """Class or region -> mean Dice, 2|A ∩ B| / (|A| + |B|), over all pairs of samples.

        A pair of which both are empty is left out, one of which one is empty is 0; NaN where no pair is left.
        """
        found: dict[str, float] = {}
        for name, members in self._spec.foreground.items():
            masks = [(kept.box, np.isin(kept.label, members)) for kept in self._kept]
            sizes = [int(mask.sum()) for _, mask in masks]
            scores = [
                2 * _common(*masks[a], *masks[b]) / (sizes[a] + sizes[b])
                for a, b in itertools.combinations(range(len(masks)), 2)
                if sizes[a] + sizes[b]
            ]
            found[name] = float(np.mean(scores)) if scores else math.nan
        return found

    def foreground(self, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Where any sample has any foreground; `shape` is the image's."""
        anywhere = np.zeros(shape, dtype=bool)
        for kept in self._kept:
            anywhere[kept.box] |= kept.label > 0
        return anywhere


class _Foreground(NamedTuple):
    box: Box
    label: LabelMap


def _foreground(label: LabelMap) -> _Foreground:
    mask = label > 0
    box = box_slices(mask_box(mask)) if mask.any() else NOWHERE
    return _Foreground(box, label[box].copy())


def _common(box: Box, mask: npt.NDArray[Any], other_box: Box, other: npt.NDArray[Any]) -> int:
    """Voxels that two masks share, each given inside its box."""
    low = [max(a.start, b.start) for a, b in zip(box, other_box, strict=True)]
    high = [min(a.stop, b.stop) for a, b in zip(box, other_box, strict=True)]
    if any(start >= stop for start, stop in zip(low, high, strict=True)):
        return 0
    ours = tuple(slice(x - side.start, y - side.start) for x, y, side in zip(low, high, box, strict=True))
    theirs = tuple(slice(x - side.start, y - side.start) for x, y, side in zip(low, high, other_box, strict=True))
    return int((mask[ours] & other[theirs]).sum())
