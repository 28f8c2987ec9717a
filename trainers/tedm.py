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
    mirrored_steps: bool = False
    """In prediction, show each view one of the mirrored versions in turn, instead of predicting all versions whole: as
    many passes as there are views."""


class TedmTrainer(ReadOutTrainer):
    """Every view has an answer of its own; the head is the same for all of them."""

    Options: ClassVar[type[TrainerOptions]] = TedmOptions

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Each view alone."""
        options = cast(TedmOptions, self.options)
        return tuple((step,) for step in range(len(options.timesteps)) for _ in range(options.noises))

    @property
    def pairs_mirrors(self) -> bool:
        """As the options say."""
        return cast(TedmOptions, self.options).mirrored_steps
