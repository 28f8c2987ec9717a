"""Scoring a folder of predictions against a folder of reference label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.evaluation.overlap import LabelMap, class_overlaps
from autodiffseg.evaluation.summary import CaseScores, Scores, Summary, class_keys
from autodiffseg.evaluation.surface import hd95_mm
from autodiffseg.geometry import SPACING_TOLERANCE
from autodiffseg.images import read_label
from autodiffseg.labels import LabelSpec
from autodiffseg.preprocessing.parallel import for_each_case, useful_processes


class ScoringTask(NamedTuple):
    """One case to score, in a form that a worker process can be given."""

    case: str
    prediction: Path
    reference: Path
    spec: LabelSpec


def evaluate_folder(
    predictions: Path,
    references: Path,
    spec: LabelSpec,
    *,
    ending: str,
    cases: Sequence[str],
    processes: int = 1,
    on_case: Callable[[], None] | None = None,
) -> Summary:
    """Score `cases`, each a file CASE + `ending` in both folders.

    Raises:
        UserError: names every case whose files are missing, unreadable or on different grids.
    """
    tasks = {
        case: ScoringTask(case, predictions / f"{case}{ending}", references / f"{case}{ending}", spec) for case in cases
    }
    missing = [path for task in tasks.values() for path in (task.prediction, task.reference) if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{missing[0]}{more} does not exist; every case needs a prediction and a reference.")
    files = [task.reference for task in tasks.values()]
    scored = for_each_case(score_case, tasks, processes=useful_processes(files, processes), on_case=on_case)
    return Summary(class_keys(spec), tuple(scored.values()))


def score_case(task: ScoringTask) -> CaseScores:
    """All metrics of one case, on the grid of its reference.

    Raises:
        UserError: when a file cannot be read or the two are on different grids.
    """
    prediction, reference, spacing_mm = read_pair(task.prediction, task.reference)
    metrics = score_label_maps(prediction, reference, task.spec, spacing_mm=spacing_mm)
    return CaseScores(task.case, metrics, str(task.prediction), str(task.reference))


def read_pair(
    prediction: Path, reference: Path
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16], tuple[float, float, float]]:
    """A predicted label map `(Z, Y, X)`, its reference, and the spacing of both, mm along (z, y, x).

    Raises:
        UserError: when a file cannot be read or the two are on different grids.
    """
    found, grid = read_label(prediction)
    wanted, reference_grid = read_label(reference)
    if grid.shape != reference_grid.shape:
        raise UserError(f"{prediction} has shape {grid.shape}, {reference} has {reference_grid.shape} (z, y, x).")
    if not np.allclose(grid.spacing, reference_grid.spacing, rtol=SPACING_TOLERANCE, atol=0):
        raise UserError(
            f"{prediction} has spacing {grid.spacing} mm, {reference} has {reference_grid.spacing} (z, y, x)."
        )
    return found, wanted, reference_grid.spacing


def score_label_maps(
    prediction: LabelMap, reference: LabelMap, spec: LabelSpec, *, spacing_mm: Sequence[float]
) -> dict[str, Scores]:
    """All metrics of every foreground class or region, by its key.

    Args:
        prediction: `(Z, Y, X)` integers.
        reference: `(Z, Y, X)` integers; where it is `spec.ignore` the masks are taken as empty.
        spec: what the integers mean.
        spacing_mm: mm along (z, y, x).
    """
    seen = reference != spec.ignore if spec.ignore is not None else np.ones(reference.shape, dtype=bool)
    metrics: dict[str, Scores] = {}
    overlaps = class_overlaps(prediction, reference, spec)
    for key, name in class_keys(spec).items():
        overlap, members = overlaps[name], spec.foreground[name]
        masks = [np.isin(label, members) & seen for label in (prediction, reference)]
        metrics[key] = {
            "Dice": overlap.dice,
            "IoU": overlap.iou,
            "TP": overlap.tp,
            "FP": overlap.fp,
            "FN": overlap.fn,
            "TN": overlap.tn,
            "n_pred": overlap.n_pred,
            "n_ref": overlap.n_ref,
            "HD95": hd95_mm(masks[0], masks[1], spacing_mm=spacing_mm),
        }
    return metrics
