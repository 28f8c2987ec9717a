"""How well a case's uncertainty maps tell where its label map is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.evaluation.calibration_case import AREAS
from autodiffseg.evaluation.error_detection import auroc
from autodiffseg.evaluation.foreground_band import foreground_band
from autodiffseg.evaluation.overlap import LabelMap
from autodiffseg.evaluation.probability_file import read_probabilities
from autodiffseg.images import read_image, read_label
from autodiffseg.labels import LabelSpec
from autodiffseg.uncertainty.entropy import entropy_nats
from autodiffseg.uncertainty.map_files import TOTAL


class DetectionTask(NamedTuple):
    """One case to score, in a form that a worker process can be given."""

    prediction: Path
    reference: Path
    maps: dict[str, Path]
    """Part of the entropy -> its map; or `TOTAL` -> probabilities, CASE.npz, whose entropy is taken."""
    spec: LabelSpec


class DetectionScore(NamedTuple):
    """One uncertainty in one area of a case."""

    area: str
    uncertainty: str
    voxels: int
    errors: int
    """Voxels whose predicted label is not that of the reference."""
    mean: float
    """Of the uncertainty, nats a voxel; NaN without voxels."""
    auroc: float


def score_detection(task: DetectionTask) -> tuple[DetectionScore, ...]:
    """Every map in every area.

    Raises:
        UserError: when a file cannot be read, or a map lies on another grid.
    """
    prediction, _ = read_label(task.prediction)
    reference, grid = read_label(task.reference)
    maps = {part: _read(path, task.spec, grid.shape) for part, path in task.maps.items()}
    return detection_scores(maps, prediction, reference, task.spec)


def detection_scores(
    maps: dict[str, npt.NDArray[np.floating[Any]]], prediction: LabelMap, reference: LabelMap, spec: LabelSpec
) -> tuple[DetectionScore, ...]:
    """Every map in every area; voxels that the reference ignores, or whose label nobody declared, are in none.

    Args:
        maps: name -> uncertainty `(Z, Y, X)`.
        prediction: `(Z, Y, X)` integers.
        reference: `(Z, Y, X)` integers.
        spec: what the integers mean.
    """
    known = np.isin(reference, [value for value in spec.values if value != spec.ignore])
    band = foreground_band((prediction > 0) | ((reference > 0) & known)) & known
    error = prediction != reference
    found = []
    for area, inside in zip(AREAS, (known, band), strict=True):
        wrong = error[inside]
        for name, uncertainty in maps.items():
            inner = uncertainty[inside]
            mean = float(inner.mean(dtype=np.float64)) if inner.size else float("nan")
            found.append(DetectionScore(area, name, inner.size, int(wrong.sum()), mean, auroc(inner, wrong)))
    return tuple(found)


def maps_of_case(existing: dict[str, Path], probabilities: Path) -> dict[str, Path]:
    """The maps that are there; where there are none, the probabilities, if they are."""
    return existing or ({TOTAL: probabilities} if probabilities.is_file() else {})


def _read(path: Path, spec: LabelSpec, shape: tuple[int, ...]) -> npt.NDArray[np.floating[Any]]:
    if path.suffix == ".npz":
        return entropy_nats(read_probabilities(path, spec, shape), regions=spec.has_regions)
    (volume,), grid = read_image(path)
    if grid.shape != shape:
        raise UserError(f"{path} has shape {grid.shape}, the reference has {shape} (z, y, x).")
    if np.isnan(volume).any():
        raise UserError(f"{path} holds NaN; predict the case again.")
    uncertainty: npt.NDArray[np.floating[Any]] = volume
    return uncertainty
