"""What the folds of a method cost: as cells of a table, and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodiffseg.evaluation.summary import Summary
from autodiffseg.runs import RunRecord

Scored = Sequence[tuple[RunRecord, Summary]]
"""Of every fold of every training of a method: its record and its scores."""
UNKNOWN = "–"


def cost_numbers(scored: Scored) -> dict[str, Any]:
    """Numbers of a method: means over its folds, the most memory; None for what was not recorded."""
    records = [record for record, _ in scored]
    summaries = [summary for _, summary in scored]
    seconds = [summary.notes.get("prediction_seconds") for summary in summaries]
    memory = [summary.notes.get("peak_memory_gb") for summary in summaries]
    known = all(value is not None for value in seconds)
    cases = sum(len(summary.cases) for summary in summaries)
    return {
        "parameters": records[0].parameters,
        "passes": sorted({summary.notes["passes"] for summary in summaries if "passes" in summary.notes}),
        "updates": sorted({record.iterations_done for record in records}),
        "finished": all(record.finished for record in records),
        "training_seconds": sum(record.training_seconds for record in records) / len(records),
        "training_memory_gb": max(record.peak_memory_gb for record in records) or None,
        "prediction_seconds_per_case": sum(filter(None, seconds)) / cases if known and cases else None,
        "prediction_memory_gb": max((value for value in memory if value is not None), default=None),
        "previous_stage": any(record.previous_run for record in records),
    }


def cost_cells(scored: Scored) -> dict[str, str]:
    """The same as cells by column; what was not recorded shows –."""
    numbers = cost_numbers(scored)
    record = scored[0][0]
    updates = [str(number) for number in numbers["updates"]]
    before = " (+ previous stage)" if numbers["previous_stage"] else ""
    return {
        "Parameters [M]": f"{numbers['parameters'] / 1e6:.2f}",
        "Passes per patch": ", ".join(map(str, numbers["passes"])) or UNKNOWN,
        "Prediction [s/case]": _shown(numbers["prediction_seconds_per_case"]),
        "Prediction [GB]": _shown(numbers["prediction_memory_gb"]),
        "Updates": "–".join(dict.fromkeys((updates[0], updates[-1])))
        + ("" if numbers["finished"] else " (unfinished)"),
        "Training [min/fold]": f"{numbers['training_seconds'] / 60:.1f}{before}",
        "Training [GB]": _shown(numbers["training_memory_gb"]),
        "Device": f"{record.device} {record.precision}",
        "Folds": ",".join(dict.fromkeys(record.fold for record, _ in scored)),
    }


def _shown(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"
