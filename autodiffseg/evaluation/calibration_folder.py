"""Calibration and error detection of a folder of predictions, where it holds probabilities or uncertainty maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autodiffseg.atomic import write_text
from autodiffseg.errors import UserError
from autodiffseg.evaluation.calibration import Reliability
from autodiffseg.evaluation.calibration_case import CalibrationTask, score_calibration
from autodiffseg.evaluation.calibration_tables import (
    Detected,
    calibration_cases_table,
    calibration_table,
    detection_cases_table,
    detection_table,
    pooled_reliability,
)
from autodiffseg.evaluation.error_detection_case import DetectionTask, maps_of_case, score_detection
from autodiffseg.evaluation.report_table import ReportTable
from autodiffseg.evaluation.statistics import mean_of
from autodiffseg.evaluation.summary import Summary
from autodiffseg.labels import LabelSpec
from autodiffseg.preprocessing.parallel import for_each_case, useful_processes
from autodiffseg.uncertainty.map_files import existing_maps


def evaluate_calibration(
    predictions: Path,
    references: Path,
    spec: LabelSpec,
    *,
    ending: str,
    cases: Sequence[str],
    out: Path,
    processes: int,
) -> ReportTable | None:
    """Score the cases that have probabilities, CASE.npz, beside their label map.

    Writes calibration.csv, calibration_cases.csv and reliability.png into `out`.

    Returns:
        The table over all cases; None where no case has probabilities.

    Raises:
        UserError: names the cases whose files are unreadable or on different grids, or the file that cannot be written.
    """
    tasks = {
        case: CalibrationTask(path, references / f"{case}{ending}", spec)
        for case in cases
        if (path := predictions / f"{case}.npz").is_file()
    }
    if not tasks:
        return None
    files = [task.probabilities for task in tasks.values()]
    scores = for_each_case(score_calibration, tasks, processes=useful_processes(files, processes))
    table = calibration_table(scores)
    _write(out, "calibration", table, calibration_cases_table(scores))
    panels: dict[str, dict[str, Reliability]] = {}
    for (area, statement), voxels in pooled_reliability(scores).items():
        panels.setdefault(area, {})[statement] = voxels
    from autodiffseg.evaluation.reliability_plot import save_reliability  # matplotlib takes half a second

    save_reliability(out / "reliability.png", panels, title=f"Reliability over {len(scores)} cases")
    return table


def evaluate_error_detection(
    predictions: Path, references: Path, summary: Summary, spec: LabelSpec, *, ending: str, out: Path, processes: int
) -> ReportTable | None:
    """Score the cases of a summary that have uncertainty maps, or else probabilities, whose entropy is taken.

    Writes error_detection.csv and error_detection_cases.csv into `out`.

    Returns:
        The table over all cases; None where no case has either.

    Raises:
        UserError: names the cases whose files are unreadable or on different grids, or the file that cannot be written.
    """
    cases = [case.case for case in summary.cases]
    maps = {case: maps_of_case(existing_maps(predictions, case), predictions / f"{case}.npz") for case in cases}
    maps = {case: found for case, found in maps.items() if found}
    if not maps:
        return None
    # Cases of one folder have the same maps, unless it was put together by hand.
    common = [part for part in next(iter(maps.values())) if all(part in found for found in maps.values())]
    tasks = {
        case: DetectionTask(
            predictions / f"{case}{ending}",
            references / f"{case}{ending}",
            {part: found[part] for part in common},
            spec,
        )
        for case, found in maps.items()
    }
    files = [path for task in tasks.values() for path in task.maps.values()]
    scores: Detected = for_each_case(score_detection, tasks, processes=useful_processes(files, processes))
    table = detection_table(scores, case_dice(summary))
    _write(out, "error_detection", table, detection_cases_table(scores))
    return table


def case_dice(summary: Summary) -> dict[str, float]:
    """Case -> mean Dice over its foreground classes, without those that neither label map has."""
    return {case.case: mean_of(np.array([row["Dice"] for row in case.metrics.values()])) for case in summary.cases}


def _write(out: Path, name: str, table: ReportTable, cases: ReportTable) -> None:
    try:
        write_text(out / f"{name}.csv", table.csv())
        write_text(out / f"{name}_cases.csv", cases.csv())
    except OSError as error:
        raise UserError(f"{out} cannot be written to: {error}.") from error
