"""StoredMember: a trained fold that predicts preprocessed cases of its dataset, beside others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autodiffseg.images import write_image
from autodiffseg.inference.export import Prediction, restore_label
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.previous_stage import PreviousStageStore

from .prediction import with_segmentation


@dataclass(frozen=True)
class StoredMember:
    """Predicts stored cases; the probabilities of several are averaged on the raw grid, by weight."""

    predictor: CasePredictor
    store: CaseStore
    plan: Plan
    spec: LabelSpec
    shown: PreviousStageStore | None = None
    """Of a cascade: the previous stage's segmentations of these cases."""
    weight: float = 1.0

    def predict(self, case: str) -> Prediction:
        """Probabilities of a case on this member's preprocessed grid.

        Raises:
            UserError: when the case is not there, or the output is not finite.
        """
        image = np.asarray(self.store.image(case)[:])
        if self.shown is not None:
            image = with_segmentation(image, self.shown.segmentation(case)[0], self.spec)
        return Prediction(
            self.predictor.predict(image, case), self.store.properties(case), self.plan, weight=self.weight
        )


def predict_stored_case(members: Sequence[StoredMember], case: str, out_file: Path) -> None:
    """Predict a stored case by all members together and write its label map on the raw grid.

    Raises:
        UserError: when the case is not there, the output is not finite or the file cannot be written.
    """
    predictions = [member.predict(case) for member in members]
    write_image(out_file, restore_label(predictions, members[0].spec), predictions[0].properties.geometry)
