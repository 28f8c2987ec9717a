"""How alike two models of the recycling study are: what two have in common, averaging them cannot mend."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.evaluation.scoring import score_label_maps
from autodiffseg.labels import LabelSpec

KEY = "agreement"
"""Of the record of a pair: case -> the two numbers."""


class Agreement(NamedTuple):
    """Of two label maps of one case, or a mean of such."""

    dice: float
    """Between the two, averaged over foreground classes; NaN where neither has any."""
    errors_in_common: float
    """Of the voxels that either gets wrong, the share that both get wrong; NaN where neither errs."""


def agreement(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], reference: npt.NDArray[np.generic], spec: LabelSpec
) -> Agreement:
    """Compare label maps `(Z, Y, X)` with each other, and with the reference where they err."""
    scores = score_label_maps(first, second, spec, spacing_mm=(1.0, 1.0, 1.0), metrics=("Dice",))
    each = [one["Dice"] for one in scores.values() if not np.isnan(one["Dice"])]
    wrong, also = first != reference, second != reference
    either = np.count_nonzero(wrong | also)
    return Agreement(
        float(np.mean(each)) if each else np.nan, np.count_nonzero(wrong & also) / either if either else np.nan
    )


def as_json(cases: dict[str, Agreement]) -> dict[str, list[float | None]]:
    """Case -> the two numbers, with null for NaN."""
    return {case: [None if np.isnan(value) else value for value in found] for case, found in cases.items()}


def mean_agreement(records: list[dict[str, Any]]) -> Agreement | None:
    """Mean over cases, then over pairs, of what the records of pairs hold; None where none holds it."""
    tables = [np.array(list(record[KEY].values()), dtype=float) for record in records if record.get(KEY)]
    found = [np.nanmean(table, axis=0) for table in tables]
    return Agreement(*np.mean(found, axis=0).tolist()) if found else None
