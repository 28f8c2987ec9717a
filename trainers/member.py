"""Member: models of one plan and configuration, and how they are shown a case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autodiffseg.geometry import Geometry
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseProperties, PreprocessedCase
from autodiffseg.preprocessing.preprocessor import preprocess_case
from autodiffseg.preprocessing.previous_stage import onto_preprocessed_grid

from .prediction import with_segmentation

if TYPE_CHECKING:
    from .previous_stage import PreviousStage


@dataclass(frozen=True)
class Member:
    """Predicts cases beside others: their probabilities are averaged on the raw grid, by weight."""

    predictor: CasePredictor
    plan: Plan
    configuration: str
    spec: LabelSpec
    previous: PreviousStage | None = None
    """Of a cascade; it segments each case first."""
    weight: float = 1.0
    draws: bool = True
    """Whether two samples differ."""
    answers: tuple[CasePredictor, ...] = ()
    """Of a read-out whose noise levels take turns over samples: what predicts with each of them."""

    @property
    def grid(self) -> str:
        """Members with the same one prepare a case alike."""
        return self.plan.data_id(self.configuration)

    def predictor_of(self, sample: int) -> CasePredictor:
        """What predicts a sample."""
        return self.answers[sample % len(self.answers)] if self.answers else self.predictor

    def prepare(self, image: npt.NDArray[np.float32], geometry: Geometry, case: str) -> PreprocessedCase:
        """Preprocess a raw image `(C, Z, Y, X)`; uses no network.

        Raises:
            UserError: when it does not fit the plan.
        """
        return preprocess_case(
            image, geometry, case=case, plan=self.plan, configuration=self.configuration, spec=self.spec
        )

    def show(
        self, prepared: PreprocessedCase, image: npt.NDArray[np.float32], geometry: Geometry
    ) -> npt.NDArray[np.float32]:
        """What the network sees of a prepared case: of a cascade, the previous stage's segmentation too.

        Args:
            prepared: the case.
            image: `(C, Z, Y, X)`, raw.
            geometry: of the raw image.

        Raises:
            UserError: when the output of the previous stage is not finite.
        """
        if self.previous is None:
            return prepared.image
        segmentation = self.previous.segment(image, geometry, prepared.properties.case)
        return with_segmentation(
            prepared.image, onto_preprocessed_grid(segmentation, prepared.properties, self.plan), self.spec
        )


@dataclass(frozen=True)
class ShownCase:
    """A case as one member sees it."""

    member: Member
    image: npt.NDArray[np.float32]
    """`(C, Z, Y, X)`, preprocessed."""
    properties: CaseProperties
