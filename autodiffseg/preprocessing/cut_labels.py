"""Labels outside the box to which a case was cropped: they are lost, so they are told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.problems import SHOWN


class CutLabel(NamedTuple):
    """What one case lost."""

    case: str
    voxels: int
    """Labelled raw voxels where every channel is zero, outside the box."""
    share: float
    """Of all its labelled voxels."""


def cut_labels(store: CaseStore) -> tuple[CutLabel, ...]:
    """The cases of a store that lost labelled voxels, in their order."""
    known = ((case, store.properties(case)) for case in store.cases())
    return tuple(CutLabel(case, of.cut_voxels, of.cut_share) for case, of in known if of.cut_voxels)


def describe_cut_labels(cut: Iterable[CutLabel]) -> str:
    """One note on all of them, worst first and 30 at most; empty when there are none."""
    worst = sorted(set(cut), key=lambda lost: (-lost.share, lost.case))
    if not worst:
        return ""
    lines = [f"  {lost.case}: {lost.voxels} voxels, {lost.share:.2%} of its label" for lost in worst[:SHOWN]]
    if len(worst) > SHOWN:
        lines.append(f"  … and {len(worst) - SHOWN} more")
    whose = "1 case has" if len(worst) == 1 else f"{len(worst)} cases have"
    head = f"Note: {whose} labels outside the box around the image's nonzero voxels; they are cut away:"
    return "\n".join([head, *lines])
