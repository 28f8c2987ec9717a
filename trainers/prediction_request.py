"""PredictionRequest: how the user asked for a prediction; the stages of a cascade share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.sampling import SamplingRequest

from .base import Trainer
from .precision import Precision
from .prediction import choose_sampling, make_predictor
from .prediction_options import PredictionOptions


@dataclass(frozen=True)
class PredictionRequest:
    """Where and how models are to predict."""

    device: torch.device
    precision: Precision
    sampling: SamplingRequest
    """What is None is the plan's of each stage."""
    options: PredictionOptions

    def predictor(self, models: Sequence[Trainer], *, samples: int = 1, answer: int | None = None) -> CasePredictor:
        """The predictor of models of one plan and configuration together.

        Args:
            models: the trainers.
            samples: how many will be drawn; mirrored versions take turns over several alone.
            answer: of read-outs that average several, the one that is wanted; None: their mean.

        Raises:
            UserError: when their plan cannot be sampled like this.
        """
        first = models[0]
        return make_predictor(
            models,
            first.plan,
            first.configuration_name,
            first.spec,
            device=self.device,
            sampling=choose_sampling(first.plan, *self.sampling),
            answer=answer,
            options=self.options if samples > 1 else self.options.model_copy(update={"rotate_mirrors": False}),
        )
