"""Summary: the scores of a folder of predictions, written as summary.json in nnU-Net's shape."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autodiffseg import __version__
from autodiffseg.atomic import write_json
from autodiffseg.dataset import IMAGE_ENDINGS
from autodiffseg.errors import UserError
from autodiffseg.evaluation.lesions import LEAST_IOU
from autodiffseg.labels import LabelSpec

SUMMARY = "summary.json"
CASES_CSV = "summary_cases.csv"
CONVENTIONS = {
    "Dice, IoU, NSD, LesionF1": "null where prediction and reference are both empty, left out of means and counted in "
    "n_empty; 0 where one of them is empty",
    "HD95, HD, ASSD": "mm between border voxels; HD95 and HD: the larger of the two directed values; ASSD: mean over "
    "both surfaces; null where both are empty; the image diagonal where one of them is empty",
    "NSD@Tmm": "share of the area of both surfaces that lies within T mm of the other",
    "VolumeDifference, RelativeVolumeDifference": "prediction minus reference, in ml and as a share of the reference; "
    "the second is null where the reference is empty",
    "Sensitivity, LesionRecall": "null where the reference is empty",
    "Precision, LesionPrecision": "null where the prediction is empty",
    "Specificity": "null where the reference fills the image",
    "lesions": "connected over faces, edges and corners; a predicted and a reference lesion match when their IoU is at "
    f"least {LEAST_IOU}, each once",
    "ignored voxels": "counted nowhere, and outside of every mask",
    "foreground_mean": "mean of the means of the foreground classes or regions",
}

NOTES = ("checkpoint", "updates", "sampling", "passes", "prediction_seconds", "peak_memory_gb", "references")
"""What `validate` adds: the weights scored, how they were sampled, how many network calls a patch took, and the wall
time and memory of predicting all cases. The last is of shifted sets alone: a hash of what was scored against."""

Scores = dict[str, float]
"""Metric -> value."""


@dataclass(frozen=True)
class CaseScores:
    """One prediction against its reference."""

    case: str
    metrics: dict[str, Scores]
    """By class key: the integer, or "(1, 2)" for a region."""
    prediction_file: str
    reference_file: str


@dataclass(frozen=True)
class Summary:
    """All cases of a folder."""

    classes: dict[str, str]
    """Class key -> name."""
    cases: tuple[CaseScores, ...]
    notes: dict[str, Any] = field(default_factory=dict)
    """What else is written down: checkpoint, sampling."""

    @property
    def mean(self) -> dict[str, Scores]:
        """By class key, the mean of each metric over the cases that have it."""
        return {
            key: {name: _mean([case.metrics[key][name] for case in self.cases]) for name in self._metrics}
            for key in self.classes
        }

    @property
    def foreground_mean(self) -> Scores:
        """The mean over classes of `mean`."""
        means = self.mean
        return {name: _mean([means[key][name] for key in self.classes]) for name in self._metrics}

    @property
    def n_empty(self) -> dict[str, int]:
        """By class key, the cases in which prediction and reference are both empty."""
        return self._count(lambda scores: scores["n_pred"] + scores["n_ref"] == 0)

    @property
    def n_empty_prediction(self) -> dict[str, int]:
        """By class key, the cases in which the prediction alone is empty."""
        return self._count(lambda scores: scores["n_pred"] == 0 < scores["n_ref"])

    @property
    def n_empty_reference(self) -> dict[str, int]:
        """By class key, the cases in which the reference alone is empty."""
        return self._count(lambda scores: scores["n_ref"] == 0 < scores["n_pred"])

    def _count(self, applies: Callable[[Scores], bool]) -> dict[str, int]:
        return {key: sum(applies(case.metrics[key]) for case in self.cases) for key in self.classes}

    @property
    def _metrics(self) -> list[str]:
        """Names of the metrics that every case has, in the order of the first."""
        rows = [scores for case in self.cases for scores in case.metrics.values()]
        return [name for name in rows[0] if all(name in row for row in rows)] if rows else []


def class_keys(spec: LabelSpec) -> dict[str, str]:
    """nnU-Net's key of every foreground class or region -> its name."""
    return {str(members[0]) if len(members) == 1 else str(members): name for name, members in spec.foreground.items()}


def write_summary(summary: Summary, folder: Path, **notes: Any) -> Path:
    """Write `folder`/summary.json atomically; `notes` are added to it.

    Raises:
        UserError: when the folder cannot be written to.
    """
    content = {
        "foreground_mean": summary.foreground_mean,
        "mean": summary.mean,
        "metric_per_case": [
            {
                "case": case.case,
                "metrics": case.metrics,
                "prediction_file": case.prediction_file,
                "reference_file": case.reference_file,
            }
            for case in summary.cases
        ],
        "classes": summary.classes,
        "n_empty": summary.n_empty,
        "n_empty_prediction": summary.n_empty_prediction,
        "n_empty_reference": summary.n_empty_reference,
        "conventions": CONVENTIONS,
        "autodiffseg": __version__,
        **summary.notes,
        **notes,
    }
    try:
        write_json(folder / SUMMARY, _without_nan(content))
    except OSError as error:
        raise UserError(f"{folder / SUMMARY} cannot be written: {error}.") from error
    return folder / SUMMARY


def summary_csv(summary: Summary) -> str:
    """One row per case and class; what has no value is blank."""
    names = list(dict.fromkeys(name for case in summary.cases for row in case.metrics.values() for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "class", *names])
    for case in summary.cases:
        for key, name in summary.classes.items():
            values = [case.metrics[key].get(metric, math.nan) for metric in names]
            writer.writerow([case.case, name, *("" if math.isnan(value) else value for value in values)])
    return text.getvalue()


def load_summary(path: Path) -> Summary:
    """Read a summary.json of ours or of nnU-Net.

    Raises:
        UserError: when the file is missing or has another shape.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cases = tuple(
            CaseScores(
                case=entry.get("case") or _stem(entry["prediction_file"]),
                metrics={key: _numbers(scores) for key, scores in entry["metrics"].items()},
                prediction_file=entry["prediction_file"],
                reference_file=entry["reference_file"],
            )
            for entry in content["metric_per_case"]
        )
        classes = content.get("classes") or {key: key for key in content["mean"]}
        return Summary(classes, cases, {name: content[name] for name in NOTES if name in content})
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run `autodiffseg evaluate` or `autodiffseg validate`.") from None
    except (UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no summary.json ({type(error).__name__}: {error}).") from error


def _numbers(scores: Mapping[str, float | None]) -> Scores:
    return {name: math.nan if value is None else float(value) for name, value in scores.items()}


def _stem(file: str) -> str:
    """The case id of a prediction file of any machine; ids may hold dots, and endings may have two parts."""
    name = file.replace("\\", "/").rpartition("/")[2]
    ending = next((ending for ending in IMAGE_ENDINGS if name.endswith(ending)), "")
    return name.removesuffix(ending)


def _mean(values: list[float]) -> float:
    present = [value for value in values if not math.isnan(value)]
    return float(np.mean(present)) if present else math.nan


def _without_nan(value: Any) -> Any:
    """null instead of NaN, which is not JSON."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
