"""How far a trained fold's predictions of a shifted set are: none, by other weights, of others, in part, or scored."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.evaluation.shifted_set import ShiftedSet
from autodiffseg.evaluation.summary import SUMMARY, Summary, load_summary
from autodiffseg.postprocessing.origin import weights_of
from autodiffseg.runs import PREDICTION_RECORD, RunRecord, fold_folder


class ShiftedState(Enum):
    """How far the predictions of a set are."""

    NONE = "not predicted"
    STALE = "predicted by other weights than the fold has now, or of other images"
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

    Raises:
        UserError: when predict.json or an image cannot be read.
    """
    folder = shifted.predictions(fold_folder(model, record.fold))
    origin = _origin(folder)
    if origin is None:
        return ShiftedState.NONE
    done = [case for case in shifted.cases if (folder / f"{case}{ending}").is_file()]
    if origin.weights != set(weights_of(model, record)):
        return ShiftedState.STALE
    if any(origin.images.get(case) != shifted.image_hashes[case] for case in done):
        return ShiftedState.STALE  # another set of the same name may have the same cases
    if len(done) < len(shifted.cases):
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


class _Origin(NamedTuple):
    """How predictions came about."""

    weights: set[str]
    """Hashes of the checkpoints that predicted."""
    images: dict[str, str]
    """Case -> hash of its images; earlier versions did not write any."""


def _origin(folder: Path) -> _Origin | None:
    """What predict.json tells; None where there is none."""
    path = folder / PREDICTION_RECORD
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        weights = {hash_ for model in told["models"] for hash_ in model["checkpoints"].values()}
        return _Origin(weights, dict(told.get("images", {})))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove {folder}, and it is predicted again.") from error


def _scores(shifted: ShiftedSet, folder: Path, record: RunRecord) -> Summary | None:
    """The scores beside the predictions, if they are younger, and of these cases, classes, label maps and updates."""
    path = folder / SUMMARY
    if not path.is_file() or path.stat().st_mtime_ns < (folder / PREDICTION_RECORD).stat().st_mtime_ns:
        return None  # `predict` by itself leaves the scores of earlier predictions
    summary = load_summary(path)
    same = {case.case for case in summary.cases} == set(shifted.cases) and summary.classes == shifted.classes
    same = same and summary.notes.get("updates") == record.iterations_done
    return summary if same and summary.notes.get("references") == shifted.reference_hash else None
