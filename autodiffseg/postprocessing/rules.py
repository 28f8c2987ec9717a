"""Rule: which components of a label map are removed; rules are applied one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from autodiffseg import registry
from autodiffseg.errors import UserError
from autodiffseg.labels import LabelSpec
from autodiffseg.postprocessing.components import box_around, number_components, value_boxes
from autodiffseg.records import Record

LabelMap = npt.NDArray[np.integer[Any]]

ROUNDING = 1e-6
"""Relative error of a volume that comes from spacings stored as 32 bit floats."""


class Rule(Record):
    """One removal of connected components."""

    operation: Literal["keep-largest", "remove-small"]
    """`keep-largest`: every component but the largest (all of equal size are kept); `remove-small`: those that are
    smaller than `min_volume_mm3`."""
    label: str | None = None
    """The class or region whose components are looked at; null: the foreground as a whole."""
    min_volume_mm3: float | None = Field(default=None, gt=0)
    """Of `remove-small`. In 2D mm²; pixels where a format knows no spacing."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if (self.operation == "remove-small") != (self.min_volume_mm3 is not None):
            raise ValueError("min_volume_mm3 belongs to remove-small, and remove-small needs it")
        return self

    def __str__(self) -> str:
        """The rule in words."""
        of = f"of {self.label}" if self.label is not None else "of the foreground as a whole"
        if self.operation == "keep-largest":
            return f"keep the largest component {of}"
        return f"remove components {of} below {self.min_volume_mm3:g} mm³"

    def removes(self, volumes_mm3: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which components go, by their volumes `(n,)` in one case."""
        if not volumes_mm3.size:
            return np.zeros(0, dtype=bool)
        least = volumes_mm3.max() if self.min_volume_mm3 is None else self.min_volume_mm3
        removed: npt.NDArray[np.bool_] = volumes_mm3 < least * (1 - ROUNDING)
        return removed


def check_rules(rules: Sequence[Rule], spec: LabelSpec, *, source: str) -> None:
    """Refuse rules of classes that do not exist.

    Raises:
        UserError: names the class and the nearest known one.
    """
    for rule in rules:
        if rule.label is not None and rule.label not in spec.foreground:
            raise UserError(f"{source}: " + registry.unknown("class", rule.label, list(spec.foreground)))


def apply_rules(label: LabelMap, rules: Sequence[Rule], spec: LabelSpec, *, spacing_mm: Sequence[float]) -> LabelMap:
    """A label map without the components that the rules remove.

    Removed voxels of a class become background. Those of a region show the region that was painted below it, if the
    voxel belongs to one: what is taken from the core of a tumour stays part of the whole tumour.

    Args:
        label: `(Z, Y, X)` integers; it is not changed.
        rules: in the order of their application.
        spec: what the integers mean.
        spacing_mm: mm along (z, y, x).
    """
    result = label.copy()
    boxes = value_boxes(result)  # what is removed later lies in the boxes of now, and so does what shows beneath it
    whole = box_around(boxes, spec.values)
    for rule in rules:
        box = whole if spec.has_regions else box_around(boxes, scope_values(rule.label, spec))
        if box is None:
            continue
        around = result[box]  # a view
        numbered, sizes = number_components(scope_mask(around, rule.label, spec))
        removed = rule.removes(sizes.astype(np.float64) * math.prod(spacing_mm))
        if removed.any():
            gone = np.concatenate([[False], removed])[numbered]
            around[gone] = what_is_beneath(around[gone], rule.label, spec)
    return result


def scope_values(name: str | None, spec: LabelSpec) -> tuple[int, ...]:
    """The integers of a class or region, or of the whole foreground."""
    if name is not None:
        return spec.foreground[name]
    return tuple(sorted({value for members in spec.foreground.values() for value in members}))


def scope_mask(label: LabelMap, name: str | None, spec: LabelSpec) -> npt.NDArray[np.bool_]:
    """Where a class, a region or the whole foreground is."""
    values = scope_values(name, spec)
    mask: npt.NDArray[np.bool_] = label == values[0] if len(values) == 1 else np.isin(label, values)
    return mask


def what_is_beneath(values: LabelMap, name: str | None, spec: LabelSpec) -> LabelMap:
    """The integers that voxels get when a class or region is taken from them."""
    if name is None or not spec.has_regions:
        return np.zeros_like(values)
    assert spec.regions_class_order is not None
    taken, result = spec.foreground[name], np.zeros_like(values)
    painted = zip(spec.foreground.items(), spec.regions_class_order, strict=True)
    for (region, members), value in painted:  # later ones are painted over earlier ones
        if region == name:
            break
        if value not in taken:
            result[np.isin(values, members)] = value
    return result
