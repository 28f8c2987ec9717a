"""tedm: one head reads several noise levels one by one, and their probabilities are averaged (arXiv 2311.07421)."""

from __future__ import annotations

from typing import ClassVar, cast

from pydantic import Field

from .options import TrainerOptions
from .read_out import ReadOutOptions, ReadOutTrainer


class TedmOptions(ReadOutOptions):
    """What TEDM adds."""

    noises: int = Field(default=1, ge=1)
    """Views of each step, each with noise of its own. One step with many shows what averaging noise alone does."""


class TedmTrainer(ReadOutTrainer):
    """Every view has an answer of its own; the head is the same for all of them."""

    Options: ClassVar[type[TrainerOptions]] = TedmOptions

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Each view alone."""
        options = cast(TedmOptions, self.options)
        return tuple((step,) for step in range(len(options.timesteps)) for _ in range(options.noises))
