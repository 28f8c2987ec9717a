"""UncertaintyOutput: entropy maps of every case and its row of uncertainty.csv, as predict writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autodiffseg.images import read_label, write_image
from autodiffseg.inference.export import Prediction, restore_channels
from autodiffseg.labels import LabelSpec
from autodiffseg.uncertainty.entropy import Volume, add_entropy
from autodiffseg.uncertainty.entropy_split import EntropySplit, split_entropy
from autodiffseg.uncertainty.figures import case_uncertainty
from autodiffseg.uncertainty.map_files import PARTS, TOTAL, map_file, record_file
from autodiffseg.uncertainty.sample_agreement import SampleAgreement
from autodiffseg.uncertainty.volume_errors import VolumeErrors

from .extra_output import Draw


@dataclass(frozen=True)
class UncertaintyOutput:
    """What is written of the uncertainty of each case, into `uncertainty/`.

    Parts that are zero everywhere are left out: between models where there is one, between samples where each model
    draws once; and where both are, the residual, which is the total.
    """

    folder: Path
    """Of predictions."""
    ending: str
    """Of the label maps of samples."""
    spec: LabelSpec
    members: int
    """Models that are averaged, each fold by itself."""
    samples: int
    """Draws of each."""
    errors: VolumeErrors
    """Of the models on their cross-validation cases."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The maps of a case."""
        there = {"between_models": self.members > 1, "between_samples": self.samples > 1}
        there["residual"] = any(there.values())
        return (TOTAL, *(part for part in PARTS if there[part]))

    def names(self, case: str) -> tuple[str, ...]:
        """The files of a case, relative to the folder."""
        files = [*(map_file(self.folder, case, part) for part in self.parts), record_file(self.folder, case)]
        return tuple(str(path.relative_to(self.folder)) for path in files)

    def begin(self, case: str) -> EntropyOfCase:
        """A new case."""
        return EntropyOfCase(self, case)


class EntropyOfCase:
    """The sum of the entropies of a case's samples, one volume of its image; the rest follows from the means."""

    def __init__(self, output: UncertaintyOutput, case: str) -> None:
        """Begin with no sample."""
        self._output, self._case = output, case
        self._sum: Volume | None = None  # over members and samples, by the members' weights
        self._weight = 0.0

    def see(self, draw: Draw) -> None:
        """Add the entropy of a sample; one draw alone is its own mean, which `write` is told."""
        if self._output.samples == 1:
            return
        weight = draw.prediction.weight
        if self._sum is None:
            self._sum = np.zeros(draw.prediction.properties.geometry.shape, np.float32)
        self._add(self._sum, [draw.prediction], weight)
        self._weight += weight

    def write(self, mean: Sequence[Prediction], label: npt.NDArray[np.uint8]) -> None:
        """Write the maps, and last the record.

        Raises:
            UserError: when a file cannot be written.
        """
        output, geometry = self._output, mean[0].properties.geometry
        split = self._split(mean)
        for part in output.parts:
            volume: Volume = getattr(split, part)
            write_image(map_file(output.folder, self._case, part), volume, geometry)
        agreement = SampleAgreement(output.spec)
        for sample in range(output.samples if output.samples > 1 else 0):
            # They were written before, as the user sees them: postprocessed, too.
            path = output.folder / f"sample_{sample}" / f"{self._case}{output.ending}"
            agreement.add(read_label(path)[0].astype(np.uint8))
        figures = case_uncertainty(
            self._case, split, label, agreement, geometry, output.spec, output.errors, models=output.members
        )
        figures.save(record_file(output.folder, self._case))

    def _split(self, mean: Sequence[Prediction]) -> EntropySplit:
        of_mean = of_models = np.zeros(mean[0].properties.geometry.shape, np.float32)
        self._add(of_mean, mean)
        if len(mean) > 1:
            whole = sum(member.weight for member in mean)
            of_models = np.zeros_like(of_mean)
            for member in mean:
                self._add(of_models, [member], member.weight / whole)
        of_samples = of_models
        if self._sum is not None:
            of_samples = np.divide(self._sum, np.float32(self._weight), out=self._sum)
        return split_entropy(of_mean=of_mean, of_models=of_models, of_samples=of_samples)

    def _add(self, total: Volume, predictions: Sequence[Prediction], weight: float = 1.0) -> None:
        """Add the entropy of the mean of predictions, on the raw grid: of the probabilities that decide the label."""
        spec = self._output.spec
        add_entropy(total, restore_channels(predictions, spec), regions=spec.has_regions, weight=weight)
