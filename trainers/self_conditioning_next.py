"""self-conditioning-next: the network sees its answer to the noisier x_{t+1} beside the x_t that this leads to."""

from __future__ import annotations

import torch
from torch import Tensor

from autodiffseg.diffusion.process import noised, x0_of
from autodiffseg.diffusion.samplers import ddpm_steps

from .self_conditioning_same import SelfConditioningSameTrainer


class SelfConditioningNextTrainer(SelfConditioningSameTrainer):
    """One step of sampling is taken in training: x_t and the earlier prediction come about as they do there.

    The recycling paper's "sc x_{t+1}" (arXiv 2308.16355), after Watson et al., Nature 620, 2023. It takes the mean of
    the step; here the noise of the step is added, without which x_t is far cleaner than its level where steps are few.
    """

    def first_pass(self, image: Tensor, x0: Tensor, t: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """A DDPM step from x_{t+1}, which is the label with noise, and the prediction that it was taken with."""
        following = self.following(t)
        alpha_bar_next = self.alpha_bar[following]
        x_next = noised(x0, alpha_bar_next, self.standard_normal(x0.shape, rng))
        prediction = self.predicted_mask(image, self.beside(x_next, None), alpha_bar_next)
        noise = self.standard_normal(x0.shape, rng)
        x_t = ddpm_steps(x_next, x0_of(prediction), alpha_bar_next, self.alpha_bar[t], noise)
        last = (following == t).reshape(-1, *([1] * (x0.ndim - 1)))  # nothing is noisier, so no step is taken
        return torch.where(last, x_next, x_t), prediction
