"""recycling: train on the model's own prediction from pure noise (arXiv 2308.16355, "rec. x_T"). The default."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Self, cast

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from autodiffseg.diffusion.process import noised, x0_of
from autodiffseg.runs import RunRecord

from .diffusion import DiffusionTrainer
from .diffusion_options import DiffusionOptions
from .label_leak import require_labels_unseen
from .options import TrainerOptions
from .teacher import Teacher
from .weight_average import WeightAverage

PREFIX, TEACHER = "average.", "teacher"
"""Of the trainer's state: what the average's part begins with, and the hash of the teacher."""


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
    first_pass_weights: Literal["current", "average", "teacher"] = "current"
    """With which weights the first pass is made: those that are trained, their running average (a mean teacher), or
    those of another training. The latter two take memory for one more set of weights; prediction does not use them."""
    average_decay: float = Field(default=0.999, ge=0, lt=1)
    """Of that average: about how many updates it reaches back, 1/(1 - decay)."""
    teacher: str | None = None
    """Checkpoint of a diffusion trainer with the same plan and fold, whose weights make the first pass and stay."""

    @field_validator("teacher")
    @classmethod
    def _from_anywhere(cls, teacher: str | None) -> str | None:
        return None if teacher is None else str(Path(teacher).expanduser().resolve())

    @model_validator(mode="after")
    def _a_teacher_is_named_and_used(self) -> Self:
        if self.first_pass_weights == "teacher" and self.teacher is None:
            raise ValueError("first_pass_weights=teacher needs teacher=CHECKPOINT, the file of another training")
        if self.first_pass_weights != "teacher" and self.teacher is not None:
            raise ValueError(f"teacher={self.teacher} is not used without first_pass_weights=teacher")
        return self


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
            prediction = self._first_answer(image, x_last, self.alpha_bar[last])
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

    @cached_property
    def teacher(self) -> Teacher | None:
        """The teacher, if the first pass is made by one; it is read when training begins, and not for prediction."""
        path = cast(RecyclingOptions, self.options).teacher
        return None if path is None else Teacher(Path(path), self)

    def before_training(self, record: RunRecord) -> None:
        """Read the teacher, if there is one, and see that it does not know the cases that are to be validated."""
        super().before_training(record)
        if self.teacher is not None:
            require_labels_unseen(
                self.teacher.path,
                option="--set teacher:",
                dataset=record.dataset,
                fold=record.fold,
                validation_cases=record.validation_cases,
            )

    def after_update(self) -> None:
        """Take the new weights into the average."""
        if self.average is not None:
            self.average.update(self.network)

    def state(self) -> dict[str, Tensor]:
        """The average too, if there is one; of a teacher its hash alone."""
        own = {} if self.average is None else self.average.state
        taught = {} if self.teacher is None else {TEACHER: self.teacher.digest}
        return {**super().state(), **{PREFIX + key: value for key, value in own.items()}, **taught}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from the average too, if there is one, or with the same teacher."""
        super().load_state(state)
        if self.average is not None:
            self.average.load_state({k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)})
        if self.teacher is not None:
            self.teacher.require_same(state[TEACHER])

    def kept(self) -> Iterable[Tensor]:
        """The teacher's weights too."""
        return [*super().kept(), *(() if self.teacher is None else self.teacher.trainer.network.parameters())]

    def _first_answer(self, image: Tensor, x_last: Tensor, alpha_bar_last: Tensor) -> Tensor:
        """Probabilities `(B, K, *patch)` from x_T, with the weights that the options ask for."""
        if self.teacher is not None:
            return self.teacher.answer(image, x_last)
        network = self.network if self.average is None else self.average.network
        return self.predicted_mask(image, x_last, alpha_bar_last, network=network)
