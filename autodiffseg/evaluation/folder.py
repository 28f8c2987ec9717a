"""Scoring a folder of predictions against a folder of reference label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.evaluation.metrics import DEFAULT
from autodiffseg.evaluation.scoring import score_label_maps
from autodiffseg.evaluation.summary import CaseScores, Summary, class_keys
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
    metrics: tuple[str, ...] = DEFAULT


def evaluate_folder(
    predictions: Path,
    references: Path,
    spec: LabelSpec,
    *,
    ending: str,
    cases: Sequence[str],
    metrics: Sequence[str] = DEFAULT,
    processes: int = 1,
    on_case: Callable[[], None] | None = None,
) -> Summary:
    """Score `cases`, each a file CASE + `ending` in both folders; `metrics` are names.

    Raises:
        UserError: names every case whose files are missing, unreadable or on different grids.
    """
    tasks = {
        case: ScoringTask(case, predictions / f"{case}{ending}", references / f"{case}{ending}", spec, tuple(metrics))
        for case in cases
    }
    missing = [path for task in tasks.values() for path in (task.prediction, task.reference) if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{missing[0]}{more} does not exist; every case needs a prediction and a reference.")
    files = [task.reference for task in tasks.values()]
    scored = for_each_case(score_case, tasks, processes=useful_processes(files, processes), on_case=on_case)
    return Summary(class_keys(spec), tuple(scored.values()))


def score_case(task: ScoringTask) -> CaseScores:
    """The metrics of one case, on the grid of its reference.

    Raises:
        UserError: when a file cannot be read or the two are on different grids.
    """
    prediction, reference, spacing_mm = read_pair(task.prediction, task.reference)
    scores = score_label_maps(prediction, reference, task.spec, spacing_mm=spacing_mm, metrics=task.metrics)
    return CaseScores(task.case, scores, str(task.prediction), str(task.reference))


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
