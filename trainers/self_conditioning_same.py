"""self-conditioning-same: the network also sees its own first answer to the same x_t (arXiv 2208.04202, "sc x_t")."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor

from autodiffseg.diffusion.process import noised, x0_of

from .diffusion import DiffusionTrainer
from .diffusion_options import DiffusionOptions
from .options import TrainerOptions


class SelfConditioningOptions(DiffusionOptions):
    """What self-conditioning adds."""

    self_conditioning_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of samples that see an earlier prediction (arXiv 2208.04202, algorithm 1). The others see none, as the
    first call of every sampling does; so neither may be all."""


class SelfConditioningSameTrainer(DiffusionTrainer):
    """Standard diffusion training with an earlier prediction of the clean mask beside the noised one.

    In sampling the earlier prediction is that of the step before. Where there is none, its channels are -1 throughout,
    which the network sees as zero: no mask of exclusive classes looks so, since they sum to one.
    """

    Options: ClassVar[type[TrainerOptions]] = SelfConditioningOptions

    @property
    def mask_channels(self) -> int:
        """Those of the noised mask and of the earlier prediction."""
        return 2 * self.spec.channels

    def beside(self, x_t: Tensor, prediction: Tensor | None) -> Tensor:
        """x_t and the earlier prediction as x̂0, `(B, 2K, *patch)`."""
        return torch.cat([x_t, torch.full_like(x_t, -1.0) if prediction is None else x0_of(prediction)], dim=1)

    def noised_mask(self, image: Tensor, x0: Tensor, t: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """x_t and, for a share of the samples, the prediction of a first pass without gradient."""
        with torch.no_grad():
            x_t, prediction = self.first_pass(image, x0, t, rng)
            share = cast(SelfConditioningOptions, self.options).self_conditioning_share
            seen = torch.rand(len(t), generator=rng, device=self.device) < share  # (B,)
            alone, both = self.beside(x_t, None), self.beside(x_t, prediction)
            return torch.where(seen.reshape(-1, *([1] * (x0.ndim - 1))), both, alone), t

    def first_pass(self, image: Tensor, x0: Tensor, t: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """x_t, and the probabilities that the network gives without an earlier prediction; both `(B, K, *patch)`."""
        x_t = noised(x0, self.alpha_bar[t], self.standard_normal(x0.shape, rng))
        return x_t, self.predicted_mask(image, self.beside(x_t, None), self.alpha_bar[t])
