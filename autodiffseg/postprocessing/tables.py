"""ComponentTable: what removing each component of a case would change, so that rules are tried without label maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.evaluation.folder import read_pair
from autodiffseg.evaluation.overlap import class_overlaps
from autodiffseg.labels import LabelSpec
from autodiffseg.postprocessing.components import box_around, number_components, value_boxes
from autodiffseg.postprocessing.rules import LabelMap, Rule, apply_rules, scope_mask, scope_values, what_is_beneath

Counts = npt.NDArray[np.int64]


class TableTask(NamedTuple):
    """One case, in a form that a worker process can be given."""

    prediction: Path
    reference: Path
    spec: LabelSpec
    rules: tuple[Rule, ...]
    """Applied first."""


@dataclass(frozen=True)
class ComponentTable:
    """The components of one scope in one case. K are the foreground classes or regions."""

    volumes_mm3: npt.NDArray[np.float64]
    """`(n,)`."""
    lost: Counts
    """`(n, K)`: predicted voxels of each class that go with a component; below 0 where regions gain some, being what
    shows beneath."""
    lost_tp: Counts
    """`(n, K)`: those among them that are right."""


@dataclass(frozen=True)
class CaseTables:
    """All that trying rules on a case needs. Voxels that the reference ignores are counted in none of it."""

    n_pred: Counts
    """`(K,)` predicted voxels."""
    n_ref: Counts
    """`(K,)` voxels of the reference."""
    tp: Counts
    """`(K,)` voxels of both."""
    scopes: dict[str | None, ComponentTable]
    """Class or region, or None for the whole foreground -> its components."""

    def dice(self) -> npt.NDArray[np.float64]:
        """`(K,)`: 2 TP / (predicted + reference voxels); NaN where both are empty."""
        total = self.n_pred + self.n_ref
        return np.where(total > 0, 2 * self.tp / np.maximum(total, 1), np.nan)

    def after(self, rule: Rule) -> CaseTables:
        """The case with a rule applied; the tables of other scopes may no longer be true."""
        table = self.scopes[rule.label]
        gone = rule.removes(table.volumes_mm3)
        kept = ComponentTable(table.volumes_mm3[~gone], table.lost[~gone], table.lost_tp[~gone])
        return CaseTables(
            self.n_pred - table.lost[gone].sum(axis=0),
            self.n_ref,
            self.tp - table.lost_tp[gone].sum(axis=0),
            {**self.scopes, rule.label: kept},
        )


def scopes_of(spec: LabelSpec) -> list[str | None]:
    """What components are looked at: the whole foreground, then each class; the former alone where there is one."""
    names = list(spec.foreground)
    return [None, *names] if len(names) > 1 else [None]


def table_case(task: TableTask) -> CaseTables:
    """The tables of a case, after the rules that have been adopted.

    Raises:
        UserError: when a file cannot be read or the two are on different grids.
    """
    prediction, reference, spacing_mm = read_pair(task.prediction, task.reference)
    left = apply_rules(prediction, task.rules, task.spec, spacing_mm=spacing_mm)
    return table_label_maps(left, reference, task.spec, spacing_mm=spacing_mm)


def table_label_maps(
    prediction: LabelMap, reference: LabelMap, spec: LabelSpec, *, spacing_mm: Sequence[float]
) -> CaseTables:
    """The tables of a prediction `(Z, Y, X)` against its reference."""
    boxes, classes = value_boxes(prediction), list(spec.foreground.values())
    none = np.zeros((0, len(classes)), dtype=np.int64)
    scopes: dict[str | None, ComponentTable] = {}
    for scope in scopes_of(spec):
        box = box_around(boxes, scope_values(scope, spec))
        if box is None:
            scopes[scope] = ComponentTable(np.zeros(0), none, none)
            continue
        around, truth = prediction[box], reference[box]
        mask = scope_mask(around, scope, spec)
        numbered, sizes = number_components(mask)
        number, old = numbered[mask] - 1, around[mask]
        new, seen = what_is_beneath(old, scope, spec), truth[mask] != spec.ignore
        lost, lost_tp = np.zeros((2, len(sizes), len(classes)), dtype=np.int64)
        for column, members in enumerate(classes):
            right = np.isin(truth[mask], members)
            before, after = np.isin(old, members), np.isin(new, members)
            for sign, changed in ((1, before & ~after & seen), (-1, after & ~before & seen)):
                lost[:, column] += sign * np.bincount(number[changed], minlength=len(sizes))
                lost_tp[:, column] += sign * np.bincount(number[changed & right], minlength=len(sizes))
        scopes[scope] = ComponentTable(sizes.astype(np.float64) * math.prod(spacing_mm), lost, lost_tp)
    overlaps = class_overlaps(prediction, reference, spec).values()
    n_pred, n_ref, tp = np.array([(found.n_pred, found.n_ref, found.tp) for found in overlaps]).T
    return CaseTables(n_pred, n_ref, tp, scopes)
