"""The tables of calibration and of error detection: over all cases, and case by case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import add

import numpy as np

from autodiffseg.evaluation.calibration import BINS, Reliability
from autodiffseg.evaluation.calibration_case import CalibrationScore
from autodiffseg.evaluation.error_detection import spearman
from autodiffseg.evaluation.error_detection_case import DetectionScore
from autodiffseg.evaluation.report_table import Cell, ReportTable
from autodiffseg.evaluation.statistics import bootstrap_mean, mean_of

Calibrated = Mapping[str, tuple[CalibrationScore, ...]]
"""Case -> its scores; all cases have the same statements and areas in the same order."""
Detected = Mapping[str, tuple[DetectionScore, ...]]

AREA_NOTE = "band: voxels within three voxels of predicted or reference foreground; image: all."


def pooled_reliability(scores: Calibrated) -> dict[tuple[str, str], Reliability]:
    """(area, statement) -> the voxels of all cases together."""
    return {
        (first.area, first.statement): reduce(add, (case.reliability for case in column))
        for first, column in _columns(scores)
    }


def calibration_table(scores: Calibrated) -> ReportTable:
    """A row per area and statement: ECE of all voxels together; means over cases of what is not a sum over voxels."""
    pooled = pooled_reliability(scores)
    rows: list[tuple[Cell, ...]] = []
    for first, column in _columns(scores):
        reliability = pooled[first.area, first.statement]
        means = [
            mean_of(np.array(values))
            for values in (
                [case.adaptive_ece for case in column],
                [case.nll for case in column],
                [case.brier for case in column],
            )
        ]
        rows.append((first.area, first.statement, len(column), reliability.ece, reliability.mce, *means))
    header = ("area", "statement", "cases", "ECE", "MCE", "adaptive ECE", "NLL", "Brier")
    notes = (
        AREA_NOTE,
        f"ECE, MCE: {BINS} bins of one width over the voxels of all cases; the rest: means over cases. NLL in nats.",
    )
    return ReportTable("Calibration of the probabilities", header, (0, 0, 0, 4, 4, 4, 4, 4), tuple(rows), notes)


def calibration_cases_table(scores: Calibrated) -> ReportTable:
    """A row per case, area and statement."""
    rows = tuple(
        (
            case,
            score.area,
            score.statement,
            int(score.reliability.voxels.sum()),
            score.reliability.ece,
            score.reliability.mce,
            score.adaptive_ece,
            score.nll,
            score.brier,
        )
        for case, of_case in scores.items()
        for score in of_case
    )
    header = ("case", "area", "statement", "voxels", "ECE", "MCE", "adaptive ECE", "NLL", "Brier")
    return ReportTable("Calibration of every case", header, (0, 0, 0, 0, 4, 4, 4, 4, 4), rows)


def detection_table(scores: Detected, dice: Mapping[str, float]) -> ReportTable:
    """A row per area and uncertainty: AUROC over the cases that have it, and the ranks of cases against Dice.

    Args:
        scores: of every case.
        dice: case -> mean Dice over its foreground classes.
    """
    rows: list[tuple[Cell, ...]] = []
    known = np.array([dice[case] for case in scores])
    for first, column in _detected_columns(scores):
        areas = np.array([case.auroc for case in column])
        interval = bootstrap_mean(areas)
        rank = spearman(np.array([case.mean for case in column]), known)
        missing = int(np.isnan(areas).sum())
        rows.append((first.area, first.uncertainty, len(column) - missing, *interval, rank))
    header = ("area", "uncertainty", "cases", "AUROC", "low", "high", "Spearman")
    notes = (
        AREA_NOTE,
        "AUROC of the uncertainty as a detector of wrong voxels: mean over the cases that have right and wrong ones, "
        "with its 95 % bootstrap interval over cases. 0.5 is guessing.",
        "Spearman's rank correlation over cases of the mean uncertainty of the area with the case's mean Dice.",
    )
    return ReportTable("Uncertainty against error", header, (0, 0, 0, 4, 4, 4, 3), tuple(rows), notes)


def detection_cases_table(scores: Detected) -> ReportTable:
    """A row per case, area and uncertainty."""
    rows = tuple((case, *score) for case, of_case in scores.items() for score in of_case)
    header = ("case", "area", "uncertainty", "voxels", "errors", "mean", "AUROC")
    return ReportTable("Uncertainty against error, case by case", header, (0, 0, 0, 0, 0, 4, 4), rows)


def _columns(scores: Calibrated) -> Iterator[tuple[CalibrationScore, list[CalibrationScore]]]:
    """For every area and statement the score of the first case, and of all."""
    for column in zip(*scores.values(), strict=True):
        yield column[0], list(column)


def _detected_columns(scores: Detected) -> Iterator[tuple[DetectionScore, list[DetectionScore]]]:
    for column in zip(*scores.values(), strict=True):
        yield column[0], list(column)
