"""VolumeErrors: how far a model's volumes were off on its cross-validation cases, and what follows for a new case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autodiffseg.errors import UserError
from autodiffseg.evaluation.summary import SUMMARY, load_summary
from autodiffseg.labels import LabelSpec
from autodiffseg.runs import RECORD, VALIDATION, RunRecord, fold_folder
from autodiffseg.uncertainty.conformal import FEWEST_CASES, MISCOVERAGE, conformal_quantile, relative_error


@dataclass(frozen=True)
class VolumeErrors:
    """What an interval is calibrated with, or why there is none."""

    quantiles: dict[str, float]
    """Class or region -> relative error that 90 % of new cases stay below; empty where there is no interval."""
    told: str
    """Where they come from, or why there are none: for the user."""


def volume_errors(model: Path, folds: Iterable[str], spec: LabelSpec, *, checkpoint: str = "last") -> VolumeErrors:
    """Read the validation summaries of a model's folds.

    A summary's `n_pred` and `n_ref` are voxels of one grid, so their ratio is that of the volumes. Cases count once,
    and not where they were trained on, as by fold `all` or where all cases are of one group.

    Args:
        model: the folder that holds `fold_*`.
        folds: those to look at; one without a readable summary, or one from before its last updates, is left out.
        spec: the classes.
        checkpoint: "last" or "best", which predicts; validations of the other tell nothing of it.
    """
    scores: dict[str, dict[str, float]] = {name: {} for name in spec.foreground}
    for fold in folds:
        if fold == "all":
            continue
        folder = fold_folder(model, fold)
        try:
            summary, record = load_summary(folder / VALIDATION / SUMMARY), RunRecord.load(folder / RECORD)
        except UserError:
            continue
        if summary.notes.get("checkpoint", checkpoint) != checkpoint:
            continue
        if summary.notes.get("updates", record.iterations_done) != record.iterations_done:
            continue
        names, trained = summary.classes, set(record.training_cases)
        for case in summary.cases:
            if case.case in trained:
                continue
            for key, metrics in case.metrics.items():
                known = scores.get(names.get(key, key))
                if known is not None and {"n_pred", "n_ref"} <= metrics.keys():
                    known[case.case] = relative_error(metrics["n_pred"], metrics["n_ref"])
    cases = min((len(known) for known in scores.values()), default=0)
    if cases < FEWEST_CASES:
        return VolumeErrors({}, f"none: {cases} cross-validation cases with scores, {FEWEST_CASES} are needed")
    quantiles = {
        name: conformal_quantile(list(known.values()), miscoverage=MISCOVERAGE) for name, known in scores.items()
    }
    return VolumeErrors(quantiles, f"split conformal on {cases} cross-validation cases of {model.name}")
