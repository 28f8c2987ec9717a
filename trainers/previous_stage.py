"""The previous stage of a cascade at prediction: the model beside it, all its finished folds together."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.inference.export import Prediction, restore_label
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.preprocessor import preprocess_case
from autodiffseg.runs import fold_records

from .base import Trainer
from .model_folder import find_checkpoints, load_models
from .out_of_fold import previous_run_name
from .prediction_request import PredictionRequest

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreviousStage:
    """The previous stage of a cascade, ready to segment images."""

    model: Path
    """Its model folder."""
    checkpoints: dict[str, str]
    """Fold -> hash of its checkpoint file."""
    predictor: CasePredictor
    plan: Plan
    configuration: str
    spec: LabelSpec

    def segment(self, image: npt.NDArray[np.float32], geometry: Geometry, case: str) -> npt.NDArray[np.uint8]:
        """Label map `(Z, Y, X)` of a raw image `(C, Z, Y, X)`, on its own grid.

        Raises:
            UserError: when the image does not fit the plan, or the output is not finite.
        """
        prepared = preprocess_case(
            image, geometry, case=case, plan=self.plan, configuration=self.configuration, spec=self.spec
        )
        probabilities = self.predictor.predict(prepared.image, case)
        return restore_label([Prediction(probabilities, prepared.properties, self.plan)], self.spec)


def load_previous_stage(model: Path, cascade: Trainer, asked: PredictionRequest) -> PreviousStage | None:
    """The previous stage of a model, or None when the model is no cascade.

    It is looked for beside the cascade's folder, under the name that its training gave it. All its finished folds are
    used, with their last checkpoints, whichever of the cascade's are: that is what the cascade was trained beside.

    Args:
        model: folder of the cascade.
        cascade: one of its trainers.
        asked: how both stages predict.

    Raises:
        UserError: when the folder is missing, has no finished fold or is of other labels.
    """
    stage = cascade.configuration.previous_stage
    if stage is None:
        return None
    record = next(iter(fold_records(model).values()))
    folder = model.parent / previous_run_name(record, stage)
    if not folder.is_dir():
        raise UserError(
            f"{model.name} is a cascade: {stage} segments the images first, and its model must lie beside it, at "
            f"{folder}. Put it there, or train it: `autodiffseg train {record.dataset} {stage} 0 "
            f"--trainer {record.trainer} --plan {record.plan}`."
        )
    checkpoints = find_checkpoints(folder, (), "last")
    models = load_models(checkpoints, device=asked.device, precision=asked.precision)
    first = models[0]
    if list(first.spec.foreground.items()) != list(cascade.spec.foreground.items()):
        raise UserError(
            f"{folder} segments {', '.join(first.spec.foreground)}, the cascade {model.name} was trained beside "
            f"{', '.join(cascade.spec.foreground)}; put the model there that it was trained with."
        )
    ids = {fold: checkpoint_id(path) for fold, path in checkpoints.items()}
    changed = [fold for fold, known in record.previous_checkpoints.items() if ids.get(fold, known) != known]
    if changed:
        logger.warning(
            "Fold %s of %s has other weights than when %s was trained beside it.", ", ".join(changed), folder, model
        )
    return PreviousStage(folder, ids, asked.predictor(models), first.plan, first.configuration_name, first.spec)
