"""Prediction of arrays: what stands behind `autodiffseg.Predictor`; the same steps as the command, without files."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.inference.export import Prediction, restore_label
from autodiffseg.inference.probability_store import ProbabilityStore
from autodiffseg.labels import LabelSpec
from autodiffseg.sampling import SamplingRequest
from autodiffseg.sound_case import read_sound_case

from .case_reading import prepare_case
from .chosen_postprocessing import choose_postprocessing
from .extra_output import CaseExtra
from .model_choice import check_models
from .model_set import load_model_set, refuse_contradictions
from .precision import choose_device, choose_precision
from .prediction_memory import array_limit
from .prediction_options import PredictionOptions, WantedOutputs
from .prediction_outputs import PredictionOutputs
from .prediction_request import PredictionRequest
from .resources import Resources

logger = logging.getLogger(__name__)

ALONE = Resources(workers=0)


class ArrayPrediction:
    """Loaded models that segment one array after the other."""

    def __init__(
        self,
        models: tuple[Path, ...],
        *,
        folds: tuple[str, ...],
        checkpoint: str,
        device: str | None,
        precision: str,
        sampling: tuple[int | None, str | None, float | None, str | None],
        postprocess: bool,
        postprocessing: Path | None,
        options: Mapping[str, Any],
    ) -> None:
        """Load models, as `predict` does with options of the same names.

        Raises:
            UserError: when something is missing, cannot be read or contradicts the models.
        """
        chosen = PredictionOptions.check(dict(options), source="Predictor.load")
        if not 0 < chosen.step_size <= 1 or chosen.samples < 1 or chosen.seed < 0:
            raise UserError("Predictor.load: 0 < step_size <= 1, samples >= 1 and seed >= 0 are possible.")
        check_models(models, folds, checkpoint)
        place = choose_device(device)
        asked = PredictionRequest(place, choose_precision(precision, place), SamplingRequest(*sampling), chosen)
        loaded = load_model_set(models, folds, checkpoint, asked)
        refuse_contradictions(loaded, chosen, WantedOutputs())
        self.dataset: DatasetJson = loaded[0].dataset
        self._members = [member for model in loaded for member in model.members]
        self._samples = chosen.samples
        self._cleaning = choose_postprocessing(
            models, folds, self.dataset.spec, file=postprocessing, wanted=postprocess
        )
        if self._cleaning.told and not self._cleaning.rules:  # rules are there and are not applied
            logger.warning(self._cleaning.told)

    def read(self, files: Sequence[Path]) -> tuple[npt.NDArray[np.float32], Geometry]:
        """A case `(C, Z, Y, X)` from its image files, and its geometry.

        Raises:
            UserError: when a file is damaged or means nothing.
        """
        return read_sound_case(files)

    def segment(
        self, image: npt.NDArray[np.float32], geometry: Geometry, case: str, *, probabilities: bool
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16] | None]:
        """Label map `(Z, Y, X)` of a raw image `(C, Z, Y, X)`, and probabilities `(K, Z, Y, X)` if they are wanted.

        Raises:
            UserError: when the case does not fit a plan, or the output is not finite.
        """
        with tempfile.TemporaryDirectory(prefix="autodiffseg-") as folder:
            outputs = _KeptOutputs(
                Path(folder),
                "",
                WantedOutputs(probabilities=probabilities),
                samples=self._samples,
                finishing=(self._cleaning,) if self._cleaning.rules else (),
            )
            with ProbabilityStore(Path(folder), array_limit(self._members, outputs, ALONE)) as store:
                shown = prepare_case(self._members, image, geometry, case).show()
                for writing in outputs.jobs(shown, self.dataset.spec, store):
                    writing.write()
        (answer,) = outputs.kept
        return answer


@dataclass(frozen=True)
class _KeptOutputs(PredictionOutputs):
    """Keeps the answer of a case, where others write it."""

    kept: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16] | None]] = field(default_factory=list)

    def _write(
        self, subfolder: str, predictions: Sequence[Prediction], spec: LabelSpec, extras: Sequence[CaseExtra] = ()
    ) -> None:
        if subfolder:  # a single sample
            return
        channels: list[npt.NDArray[np.float16]] = []
        label = restore_label(predictions, spec, pass_on=channels.append if self.wanted.probabilities else None)
        for finish in self.finishing:
            label = finish(label, predictions[0].properties.geometry)
        self.kept.append((label, np.stack(channels) if channels else None))
