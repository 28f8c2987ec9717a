"""A finished row of the few-label study as a small JSON file: what it was, and its scores case by case."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from few_lungs import lungs_as_one
from few_rows import DATASET, LUNGS_AS_ONE, Row, Setting
from rich.console import Console

from autodiffseg.atomic import write_text
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.evaluation.shifted_set import ShiftedSet
from autodiffseg.evaluation.summary import SUMMARY, CaseScores, Summary, load_summary
from autodiffseg.runs import RECORD, VALIDATION, RunRecord
from autodiffseg.sharing.privacy import command_without_paths, without_paths
from autodiffseg.trainers.backbone import read_backbone
from autodiffseg.trainers.checkpoints import trainer_class
from autodiffseg.trainers.options import read_settings, without_places
from autodiffseg.trainers.shifted_prediction import scored_shifted_set

METRICS = ("Dice", "HD95", "Precision", "Recall")
DIGITS = 5


class Measured(NamedTuple):
    """What is known of a row."""

    record: dict[str, Any]
    """run.json without its list of validation cases and without paths."""
    passes: int
    """Network calls of one prediction of a patch."""
    scores: dict[str, dict[str, CaseScores]]
    """Domain -> case -> scores of the classes."""
    classes: dict[str, dict[str, str]]
    """Domain -> class key -> name."""


def measure(setting: Setting, row: Row, shifted: ShiftedSet, console: Console) -> None:
    """Predict the shifted set by a finished row, score it, and write the row's file.

    Raises:
        UserError: when the row is not what the list says.
    """
    folder = setting.folder(row)
    record = RunRecord.load(folder / RECORD)
    require_as_listed(setting, row, record, folder)
    declared = DatasetJson.load(setting.workspace.dataset_json_path(DATASET))
    inside = load_summary(folder / VALIDATION / SUMMARY)
    outside = scored_shifted_set(
        shifted, setting.model(row), record, declared, device="cpu", precision="auto", console=console
    )
    scored = {DATASET: inside, shifted.name: outside}
    scored |= {LUNGS_AS_ONE[name]: lungs_as_one(summary) for name, summary in scored.items()}
    told = without_paths(record.model_dump(mode="json", exclude={"validation_cases"}))
    told["command"] = command_without_paths(record.command)
    if row.labels is None:
        told["training_cases"] = len(record.training_cases)
    content = {
        "method": row.method.name,
        "purpose": row.purpose,
        "passes": inside.notes["passes"],
        "prediction_seconds": inside.notes.get("prediction_seconds"),
        "run": told,
        "domains": {name: _told(summary) for name, summary in scored.items()},
    }
    write_text(setting.file(row), json.dumps(content, separators=(",", ":")) + "\n")


def require_as_listed(setting: Setting, row: Row, record: RunRecord, folder: Path) -> None:
    """Refuse a training that lies where the row's would, and is another.

    Raises:
        UserError: names what differs.
    """
    options = trainer_class(row.method.trainer).Options
    made = options.check(record.options, source=f"{folder / RECORD}, options").model_dump()
    asked = read_settings(options, row.method.settings).model_dump()
    backbone = read_backbone(setting.backbone).digest if row.method.backbone else ""
    for what, found, listed in (
        ("labels", record.n_labelled, row.labels),
        ("label seed", record.label_seed, row.label_seed if row.labels is not None else 0),
        ("updates", record.iterations, setting.updates_of(row)),
        ("options", without_places(made), without_places(asked)),
        ("backbone", record.backbone, backbone),
    ):
        if found != listed:
            raise UserError(f"{folder} was trained with other {what} ({found}) than the list says ({listed}).")


def read_row(setting: Setting, row: Row) -> Measured | None:
    """What has been measured of a row; None when nothing has."""
    path = setting.file(row)
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    scores = {name: _scores(domain) for name, domain in content["domains"].items()}
    classes = {name: domain["classes"] for name, domain in content["domains"].items()}
    return Measured(content["run"], content["passes"], scores, classes)


def labels_of(row: Row, measured: Measured) -> int:
    """Number of labels; of a row on all, how many those are."""
    return row.labels if row.labels is not None else int(measured.record["training_cases"])


def _told(summary: Summary) -> dict[str, Any]:
    cases = {
        case.case: [[_number(_value(case.metrics[key], metric)) for metric in METRICS] for key in summary.classes]
        for case in summary.cases
    }
    return {"classes": summary.classes, "metrics": list(METRICS), "cases": cases}


def _scores(domain: dict[str, Any]) -> dict[str, CaseScores]:
    return {
        case: CaseScores(
            case,
            {
                key: {
                    metric: math.nan if value is None else value
                    for metric, value in zip(domain["metrics"], values, strict=True)
                }
                for key, values in zip(domain["classes"], rows, strict=True)
            },
            "",
            "",
        )
        for case, rows in domain["cases"].items()
    }


def _value(scores: dict[str, float], metric: str) -> float:
    count = {"Precision": "n_pred", "Recall": "n_ref"}.get(metric)
    if count is None:
        return scores[metric]
    return scores["TP"] / scores[count] if scores[count] else math.nan


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DIGITS)
