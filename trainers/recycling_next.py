"""recycling-next: train on the model's own prediction from the next noisier step (arXiv 2303.06040, "rec. x_{t+1}")."""

from __future__ import annotations

import torch
from torch import Tensor

from autodiffseg.diffusion.process import noised, x0_of

from .diffusion import DiffusionTrainer


class RecyclingNextTrainer(DiffusionTrainer):
    """The noised mask is made of what the network predicts from the label with the noise of the next step.

    So training sees masks that the network made, but the first pass still sees the label: at low noise it shows.
    """

    def noised_mask(self, image: Tensor, x0: Tensor, t: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise the prediction of a first pass without gradient, which saw `x0` with the noise of the next step."""
        following = self.following(t)
        with torch.no_grad():
            x_next = noised(x0, self.alpha_bar[following], self.standard_normal(x0.shape, rng))
            prediction = self.predicted_mask(image, x_next, self.alpha_bar[following])
            return noised(x0_of(prediction), self.alpha_bar[t], self.standard_normal(x0.shape, rng)), t
