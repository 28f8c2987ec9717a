"""How far a trained fold's predictions of a shifted set are: none, by other weights, in part, or scored."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path

from autodiffseg.errors import UserError
from autodiffseg.evaluation.shifted_set import ShiftedSet
from autodiffseg.evaluation.summary import SUMMARY, Summary, load_summary
from autodiffseg.postprocessing.origin import weights_of
from autodiffseg.runs import PREDICTION_RECORD, RunRecord, fold_folder


class ShiftedState(Enum):
    """How far the predictions of a set are."""

    NONE = "not predicted"
    STALE = "predicted by other weights than the fold has now"
    PART = "predicted in part"
    PREDICTED = "predicted"
    SCORED = "scored"


def shifted_state(shifted: ShiftedSet, model: Path, record: RunRecord, *, ending: str) -> ShiftedState:
    """How far a fold is.

    Args:
        shifted: the set.
        model: folder of the run.
        record: of its fold.
        ending: of predictions.
    """
    folder = shifted.predictions(fold_folder(model, record.fold))
    used = _weights_used(folder)
    if used is None:
        return ShiftedState.NONE
    if used != set(weights_of(model, record)):
        return ShiftedState.STALE
    if not all((folder / f"{case}{ending}").is_file() for case in shifted.cases):
        return ShiftedState.PART
    return ShiftedState.PREDICTED if _scores(shifted, folder, record) is None else ShiftedState.SCORED


def shifted_scores(shifted: ShiftedSet, model: Path, record: RunRecord) -> Summary:
    """The scores of a fold whose state is SCORED.

    Raises:
        UserError: when it is not.
    """
    folder = shifted.predictions(fold_folder(model, record.fold))
    found = _scores(shifted, folder, record)
    if found is None:
        raise UserError(f"{folder} holds no scores of {shifted.name} by the weights of today; predict it again.")
    return found


def _weights_used(folder: Path) -> set[str] | None:
    """The hashes of the checkpoints that predicted; None where nothing tells."""
    path = folder / PREDICTION_RECORD
    if not path.is_file():
        return None
    try:
        models = json.loads(path.read_text(encoding="utf-8"))["models"]
        return {hash_ for model in models for hash_ in model["checkpoints"].values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove {folder}, and it is predicted again.") from error


def _scores(shifted: ShiftedSet, folder: Path, record: RunRecord) -> Summary | None:
    """The scores beside the predictions, if they are younger, and of these cases, classes and updates."""
    path = folder / SUMMARY
    if not path.is_file() or path.stat().st_mtime_ns < (folder / PREDICTION_RECORD).stat().st_mtime_ns:
        return None  # `predict` by itself leaves the scores of earlier predictions
    summary = load_summary(path)
    same = {case.case for case in summary.cases} == set(shifted.cases) and summary.classes == shifted.classes
    return summary if same and summary.notes.get("updates") == record.iterations_done else None
