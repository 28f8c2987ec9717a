"""PredictionOutputs: what is written of each case, and where; the label map comes last."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autodiffseg.atomic import atomic_path
from autodiffseg.images import write_image
from autodiffseg.inference.export import restore_label, restore_probabilities
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseProperties

from .prediction_options import WantedOutputs


@dataclass(frozen=True)
class PredictionOutputs:
    """The files of a folder of predictions.

    The answer is the mean of the probabilities of all samples, and so is every step. `step_3/` holds what it was after
    the third sampling step, `sample_0/` the answer of the first sample alone.
    """

    folder: Path
    ending: str
    """Of label files, such as ".nii.gz"."""
    wanted: WantedOutputs = field(default_factory=WantedOutputs)
    samples: int = 1
    """Draws of each case; where there are several each is written into a folder of its own."""

    def existing(self, case: str) -> tuple[Path, ...]:
        """All files of a case that are there, those of steps and samples too, asked for now or not."""
        names = (f"{case}{self.ending}", f"{case}.npz")
        folders = (self.folder, *self.subfolders())
        return tuple(path for folder in folders for name in names if (path := folder / name).is_file())

    def subfolders(self) -> tuple[Path, ...]:
        """Those of steps and samples that are there."""
        return tuple(path for kind in ("step", "sample") for path in sorted(self.folder.glob(f"{kind}_[0-9]*")))

    def is_done(self, case: str) -> bool:
        """Whether a case was predicted before, with all that is wanted of it."""
        folders = [self.folder]
        folders += [self.folder / "step_1"] if self.wanted.steps else []
        folders += [self.folder / "sample_0"] if self.samples > 1 else []
        endings = (self.ending, ".npz") if self.wanted.probabilities else (self.ending,)
        return all((folder / f"{case}{ending}").is_file() for folder in folders for ending in endings)

    def predict(
        self,
        predictor: CasePredictor,
        image: npt.NDArray[np.float32],
        properties: CaseProperties,
        plan: Plan,
        spec: LabelSpec,
    ) -> None:
        """Predict a preprocessed image and write what is wanted, on the raw grid.

        Args:
            predictor: of models of this plan.
            image: `(C, Z, Y, X)`, preprocessed.
            properties: of the preprocessed case; they say where the raw grid lies.
            plan: its axis order.
            spec: what the channels mean.

        Raises:
            UserError: when the output is not finite or a file cannot be written.
        """
        case = properties.case

        def write(probabilities: npt.NDArray[np.float32], *subfolder: str) -> None:
            self._write(self.folder.joinpath(*subfolder), probabilities, properties, plan, spec)

        total: npt.NDArray[np.float32] | None = None
        for sample in range(self.samples):
            if self.wanted.steps:
                found = predictor.predict_every_step(image, case, sample=sample)  # (S, K, Z, Y, X)
            else:
                found = predictor.predict(image, case, sample=sample)[None]  # (1, K, Z, Y, X)
            if self.samples > 1:
                write(found[-1], f"sample_{sample}")
            total = found if total is None else total + found
        assert total is not None
        mean = total / self.samples
        for number, step in enumerate(mean if self.wanted.steps else (), start=1):
            write(step, f"step_{number}")
        write(mean[-1])

    def _write(
        self,
        folder: Path,
        probabilities: npt.NDArray[np.float32],
        properties: CaseProperties,
        plan: Plan,
        spec: LabelSpec,
    ) -> None:
        if self.wanted.probabilities:
            restored = restore_probabilities(probabilities, properties, plan, spec)
            with atomic_path(folder / f"{properties.case}.npz") as temporary:
                np.savez_compressed(temporary, probabilities=restored)
        label = restore_label(probabilities, properties, plan, spec)
        write_image(folder / f"{properties.case}{self.ending}", label, properties.geometry)
