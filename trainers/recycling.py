"""recycling: train on the model's own prediction from pure noise (arXiv 2308.16355, "rec. x_T"). The default."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from autodiffseg.diffusion.process import noised, x0_of

from .diffusion import DiffusionOptions, DiffusionTrainer
from .options import TrainerOptions
from .weight_average import WeightAverage

PREFIX = "average."
"""Of the average's part of the trainer's state."""


class RecyclingOptions(DiffusionOptions):
    """What recycling adds."""

    log_snr_shift: float | None = Field(default=0.0, allow_inf_nan=False)
    """As for `diffusion`, but 0: no label enters, so there is nothing to hide. None: the plan's."""
    pure_noise_share: float = Field(default=0.1, ge=0, le=1)
    """Share of samples trained on pure noise itself: the first call of every prediction, which no other sample
    trains, because the first pass has no gradient."""
    first_pass_input: Literal["noise", "noised-label"] = "noise"
    """What the first pass begins with: N(0, I), as prediction does, or q(x_T | x_0) as in the released reference, which
    holds a trace of the label (√ᾱ_T = 0.006 of it under the linear schedule)."""
    first_pass_weights: Literal["current", "average"] = "current"
    """With which weights the first pass is made: those that are trained, or their running average (a mean teacher). The
    average takes memory for one more set of weights; prediction does not use it."""
    average_decay: float = Field(default=0.999, ge=0, lt=1)
    """Of that average: about how many updates it reaches back, 1/(1 - decay)."""


class RecyclingTrainer(DiffusionTrainer):
    """The noised mask is made of the network's own prediction from pure noise instead of the label.

    Training then sees the masks that prediction sees, and the label reaches no network input: unless told otherwise the
    first pass starts from exact N(0, I), not from the reference's q(x_T | x_0), which holds a trace of the label.
    """

    Options: ClassVar[type[TrainerOptions]] = RecyclingOptions

    def noised_mask(self, image: Tensor, x0: Tensor, t: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise the prediction of a first pass without gradient; `x0`, the label, is used for its shape alone, unless
        the options ask for q(x_T | x_0)."""
        options = cast(RecyclingOptions, self.options)
        last = torch.full_like(t, len(self.alpha_bar) - 1)
        with torch.no_grad():
            x_last = self.standard_normal(x0.shape, rng)
            if options.first_pass_input == "noised-label":
                x_last = noised(x0, self.alpha_bar[last], x_last)
            network = self.network if self.average is None else self.average.network
            prediction = self.predicted_mask(image, x_last, self.alpha_bar[last], network=network)
            x_t = noised(x0_of(prediction), self.alpha_bar[t], self.standard_normal(x0.shape, rng))
            pure = torch.rand(len(t), generator=rng, device=self.device) < options.pure_noise_share  # (B,)
            fresh = self.standard_normal(x0.shape, rng)
            spread = pure.reshape(-1, *([1] * (x0.ndim - 1)))
            return torch.where(spread, fresh, x_t), torch.where(pure, last, t)

    @cached_property
    def average(self) -> WeightAverage | None:
        """The averaged weights, if the first pass is made with them; it begins when it is first asked for."""
        options = cast(RecyclingOptions, self.options)
        wanted = options.first_pass_weights == "average"
        return WeightAverage(self.network, decay=options.average_decay) if wanted else None

    def after_update(self) -> None:
        """Take the new weights into the average."""
        if self.average is not None:
            self.average.update(self.network)

    def state(self) -> dict[str, Tensor]:
        """The average too, if there is one."""
        own = {} if self.average is None else self.average.state
        return {**super().state(), **{PREFIX + key: value for key, value in own.items()}}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from the average too, if there is one."""
        super().load_state(state)
        if self.average is not None:
            self.average.load_state({k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)})
