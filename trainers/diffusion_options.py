"""Options of the diffusion trainers: what is predicted, from which steps, and how much each loss counts."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from autodiffseg.diffusion.parametrisation import Prediction
from autodiffseg.networks.unet import LevelConditioning

from .options import TrainerOptions


class DiffusionOptions(TrainerOptions):
    """What all diffusion trainers add."""

    training_steps: int | None = Field(default=None, ge=1)
    """Train on so many of the plan's base steps, respaced as in prediction; None: on all. Five is the recycling
    paper's choice in its first version: the steps that its prediction visits."""
    timestep_sampling: Literal["uniform", "loss-aware"] = "uniform"
    """`loss-aware` trains more often on steps whose loss is large, and weights losses so that their expectation stays.
    Dice is then taken per sample, also where the plan says `batch_dice`."""
    prediction: Prediction = "x0"
    """What the network predicts: the clean mask, or the noise in x_t, from which the mask follows. With few steps a
    small error of the noise is a large one of the mask: at the last step √(1/ᾱ - 1) = 158 times as large (linear)."""
    noise_weight: float = Field(default=0.1, ge=0)
    """Of the squared error of the noise, where that is predicted (arXiv 2303.06040's released code); above 0 there."""
    vlb_weight: float = Field(default=0.0, ge=0)
    """Of the variational bound, of the step that is trained, in bits per voxel and channel."""
    level_conditioning: LevelConditioning = "film"
    """`none` hides the noise level from the network, as the released reference does by mistake."""
    log_snr_shift: float | None = Field(default=None, allow_inf_nan=False)
    """Added to log ᾱ/(1-ᾱ), in training and prediction: negative hides more of the label at every step. None: the
    plan's, which comes from how much of this dataset's labels shows through noise."""

    @model_validator(mode="after")
    def _predicted_noise_is_learnt(self) -> Self:
        # All other losses see the clipped mask. A new network's is clipped nearly everywhere at high noise, where
        # prediction begins: there it would never learn.
        if self.prediction == "noise" and not self.noise_weight:
            raise ValueError(
                "prediction=noise needs a noise_weight above 0; where the mask that follows from the noise is clipped, "
                "no other loss has a gradient"
            )
        return self

    def weights(self) -> tuple[float, ...]:
        """Those of all trainers, and what diffusion adds."""
        return *super().weights(), self.vlb_weight, self.noise_weight if self.prediction == "noise" else 0.0
