"""The calibration of one case: its probabilities against its reference, over the image and around the foreground."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.evaluation.calibration import Reliability, adaptive_ece, binary_nll, brier, nll
from autodiffseg.evaluation.foreground_band import foreground_band
from autodiffseg.evaluation.overlap import LabelMap
from autodiffseg.evaluation.probability_file import read_probabilities
from autodiffseg.images import read_label
from autodiffseg.labels import LabelSpec

AREAS = ("image", "band")
"""All voxels; and those within three voxels of predicted or reference foreground, without the easy background."""
TOP_LABEL = "(top label)"
"""The statement "the likeliest class is the right one"; the others are named by their class."""


class CalibrationTask(NamedTuple):
    """One case to score, in a form that a worker process can be given."""

    probabilities: Path
    reference: Path
    spec: LabelSpec


class CalibrationScore(NamedTuple):
    """One statement in one area of a case."""

    area: str
    statement: str
    """A class or region, or `TOP_LABEL`."""
    reliability: Reliability
    adaptive_ece: float
    nll: float
    """Nats; of the top label that of the true class."""
    brier: float
    """Of the top label the sum over the classes, in [0, 2]."""


def score_calibration(task: CalibrationTask) -> tuple[CalibrationScore, ...]:
    """Every statement in every area.

    Raises:
        UserError: when a file cannot be read or the two are on different grids.
    """
    reference, grid = read_label(task.reference)
    probabilities = read_probabilities(task.probabilities, task.spec, grid.shape)
    return tuple(calibration_scores(probabilities, reference, task.spec))


def calibration_scores(
    probabilities: npt.NDArray[np.floating[Any]], reference: LabelMap, spec: LabelSpec
) -> Iterator[CalibrationScore]:
    """Every statement in every area; voxels that the reference ignores, or whose label nobody declared, are in none.

    Args:
        probabilities: `(K, Z, Y, X)` in [0, 1].
        reference: `(Z, Y, X)` integers.
        spec: what both mean.
    """
    known = np.isin(reference, [value for value in spec.values if value != spec.ignore])
    band = foreground_band((spec.decode(probabilities) > 0) | ((reference > 0) & known)) & known
    for area, inside in zip(AREAS, (known, band), strict=True):
        inner = probabilities[:, inside]  # (K, n)
        label = reference[inside]
        offset = 0 if spec.has_regions else 1  # the background's channel
        if not spec.has_regions:
            yield _top_label(area, inner, label, spec)
        for channel, (name, members) in zip(inner[offset:], spec.foreground.items(), strict=True):
            truth = np.isin(label, members)
            yield CalibrationScore(
                area,
                name,
                Reliability.of(channel, truth),
                adaptive_ece(channel, truth),
                binary_nll(channel, truth),
                brier(channel, truth),
            )


def _top_label(
    area: str, probabilities: npt.NDArray[np.floating[Any]], label: npt.NDArray[np.integer[Any]], spec: LabelSpec
) -> CalibrationScore:
    """The likeliest of exclusive classes; probabilities `(K, n)`, label `(n,)`."""
    values = np.array([0, *(members[0] for members in spec.foreground.values())])
    confidence = probabilities.max(axis=0)
    hit = values[probabilities.argmax(axis=0)] == label
    truths = [label == value for value in values]
    of_truth = np.zeros(label.shape, dtype=np.float32)
    for channel, truth in zip(probabilities, truths, strict=True):
        of_truth[truth] = channel[truth]
    squares = [brier(channel, truth) for channel, truth in zip(probabilities, truths, strict=True)]
    return CalibrationScore(
        area,
        TOP_LABEL,
        Reliability.of(confidence, hit),
        adaptive_ece(confidence, hit),
        nll(of_truth),
        math.fsum(squares),
    )
