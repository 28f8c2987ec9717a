"""Pictures of single cases: the image, the reference, what every entrant makes of it, and how unsure it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autodiffseg.dataset import DatasetJson, RawDataset
from autodiffseg.errors import UserError
from autodiffseg.evaluation.case_columns import case_columns
from autodiffseg.evaluation.comparison import Comparison, Entrant
from autodiffseg.evaluation.metrics import Metric
from autodiffseg.images import read_case, read_image, read_label
from autodiffseg.report.case_slice import CaseSlice, find_slice
from autodiffseg.report.panels import heat_panel, outline_panel
from autodiffseg.uncertainty.map_files import TOTAL, existing_maps

MOST_ENTRANTS = 12
"""That are pictured; a page about more shows the first."""
PLANES = ("axial", "coronal", "sagittal")


@dataclass(frozen=True)
class Panel:
    """One picture and what stands below it."""

    title: str
    score: str
    description: str
    picture: str
    """A data URI."""


@dataclass(frozen=True)
class CasePictures:
    """The panels of a case, all of the same part of the same slice."""

    case: str
    reason: str
    where: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class PictureSources:
    """Where the images of a dataset and its references lie."""

    dataset: DatasetJson
    references: Path
    raw: RawDataset | None
    """None when the images cannot be found: outlines are drawn on black."""

    def picture(self, comparison: Comparison, case: str, reason: str, metric: Metric) -> CasePictures:
        """Draw a case.

        Raises:
            UserError: when a file is missing or cannot be read, or grids differ.
        """
        reference_path = self.references / f"{case}{self.dataset.file_ending}"
        reference, geometry = read_label(reference_path)
        entrants = comparison.entrants[:MOST_ENTRANTS]
        files = {entrant.name: find_prediction(entrant, case) for entrant in entrants}
        labels = {name: read_label(path)[0] for name, path in files.items()}
        image = self._image(case, reference.shape)
        for path, array in [(files[name], label) for name, label in labels.items()]:
            if array.shape != reference.shape:
                raise UserError(f"{path} has shape {array.shape}, {reference_path} has {reference.shape} (z, y, x).")
        part = find_slice(
            reference, list(labels.values()), spacing_mm=geometry.spacing, ignore=self.dataset.spec.ignore
        )
        drawing = _Drawing(part, geometry.spacing, image, list(self.dataset.spec.foreground.values()))
        scores = {
            entrant.name: float(case_columns(comparison, entrant, metric)[comparison.cases.index(case), -1])
            for entrant in entrants
        }
        panels = [
            Panel("image", "", f"{case}: the image alone", drawing.outlined({})),
            Panel("reference", "", f"{case}: outlines of the reference", drawing.outlined({True: reference})),
        ]
        for name, label in labels.items():
            value = "–" if math.isnan(scores[name]) else f"{scores[name]:.{metric.digits}f}"
            told = f"{metric.name} {value}{f' {metric.unit}' if metric.unit else ''}"
            description = f"{case}: outlines of {name} over those of the reference, {told}"
            panels.append(Panel(name, told, description, drawing.outlined({True: reference, False: label})))
            panels += _uncertainty_panels(name, files[name].parent, case, drawing)
        plane = f"{PLANES[part.axis]} slice {part.index} of {reference.shape[part.axis]}"
        return CasePictures(case, reason, plane if reference.shape[0] > 1 else "", tuple(panels))

    def _image(self, case: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """`(Z, Y, X)` grey values of the first channel, or `(Z, Y, X, 3)` of a colour image; zeros without images."""
        files = self.raw.images(case) if self.raw is not None else ()
        if not files:
            return np.zeros(shape, dtype=np.float32)
        image, _ = read_case(files)
        if image.shape[1:] != shape:
            raise UserError(f"{files[0]} has shape {image.shape[1:]}, its reference has {shape} (z, y, x).")
        if len(files) == 1 and len(image) == 3:
            return np.asarray(np.moveaxis(image, 0, -1) / max(float(image.max()), 1.0))
        return np.asarray(image[0])


@dataclass(frozen=True)
class _Drawing:
    part: CaseSlice
    spacing_mm: tuple[float, float, float]
    image: npt.NDArray[np.float32]
    classes: list[tuple[int, ...]]

    @property
    def pixel_mm(self) -> tuple[float, float]:
        height, width = (mm for axis, mm in enumerate(self.spacing_mm) if axis != self.part.axis)
        return height, width

    @property
    def lower(self) -> bool:
        """Head up in slices that are not axial."""
        return self.part.axis != 0

    def outlined(self, outlines: dict[bool, npt.NDArray[Any]]) -> str:
        window = np.percentile(self.image, [0.5, 99.5])
        return outline_panel(
            self.part.of(self.image),
            {broad: self.part.of(label) for broad, label in outlines.items()},
            self.classes,
            pixel_mm=self.pixel_mm,
            lower=self.lower,
            window=(float(window[0]), float(window[1])),
        )


def find_prediction(entrant: Entrant, case: str) -> Path:
    """The label map that an entrant's first training made of a case.

    Raises:
        UserError: when it is gone.
    """
    path = Path(entrant.cases[case].prediction_file)
    if not path.is_file():
        raise UserError(f"the prediction of {entrant.name}, {path}, is gone; `autodiffseg validate` makes it anew.")
    return path


def _uncertainty_panels(name: str, folder: Path, case: str, drawing: _Drawing) -> Iterator[Panel]:
    """The map of the total uncertainty, where `predict --uncertainty` has written one beside the prediction."""
    path = existing_maps(folder, case).get(TOTAL)
    if path is None:
        return
    values = read_image(path)[0][0]
    if values.shape != drawing.image.shape[:3]:
        raise UserError(f"{path} has shape {values.shape}, the image has {drawing.image.shape[:3]} (z, y, x).")
    highest = float(values.max())
    yield Panel(
        f"uncertainty of {name}",
        f"0 to {highest:.2f} nats",
        f"{case}: entropy of {name}, dark is 0, bright is {highest:.2f} nats",
        heat_panel(drawing.part.of(values), highest, pixel_mm=drawing.pixel_mm, lower=drawing.lower),
    )
