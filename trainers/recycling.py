"""recycling: train on the model's own prediction from pure noise (arXiv 2308.16355, "rec. x_T"). The default."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor

from autodiffseg.diffusion.process import noised, x0_of

from .diffusion import DiffusionOptions, DiffusionTrainer
from .options import TrainerOptions


class RecyclingOptions(DiffusionOptions):
    """What recycling adds."""

    log_snr_shift: float | None = Field(default=0.0, allow_inf_nan=False)
    """As for `diffusion`, but 0: no label enters, so there is nothing to hide. None: the plan's."""
    pure_noise_share: float = Field(default=0.1, ge=0, le=1)
    """Share of samples trained on pure noise itself: the first call of every prediction, which no other sample
    trains, because the first pass has no gradient."""


class RecyclingTrainer(DiffusionTrainer):
    """The noised mask is made of the network's own prediction from pure noise instead of the label.

    Training then sees the masks that prediction sees, and the label reaches no network input: the first pass starts
    from exact N(0, I), not from the reference's q(x_T | x_0), which holds a trace of the label.
    """

    Options: ClassVar[type[TrainerOptions]] = RecyclingOptions

    def noised_mask(self, image: Tensor, x0: Tensor, t: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise the prediction of a first pass without gradient; `x0`, the label, is used for its shape alone."""
        last = torch.full_like(t, len(self.alpha_bar) - 1)
        with torch.no_grad():
            x_last = self.standard_normal(x0.shape, rng)
            prediction = self.probabilities(image, *self.mask_input(x_last, self.alpha_bar[last]))
            x_t = noised(x0_of(prediction), self.alpha_bar[t], self.standard_normal(x0.shape, rng))
            share = cast(RecyclingOptions, self.options).pure_noise_share
            pure = torch.rand(len(t), generator=rng, device=self.device) < share  # (B,)
            fresh = self.standard_normal(x0.shape, rng)
            spread = pure.reshape(-1, *([1] * (x0.ndim - 1)))
            return torch.where(spread, fresh, x_t), torch.where(pure, last, t)
