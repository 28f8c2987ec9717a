"""RunRequest: a training as the user asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autodiffseg.runs import whole_tag


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for, as typed."""

    dataset: str
    configuration: str
    fold: str
    trainer: str
    plan: str | None
    tag: str
    seed: int
    iterations: int | None
    device: str | None
    precision: str
    settings: Sequence[str]
    n_labelled: int | None = None
    label_seed: int = 0

    @property
    def whole_tag(self) -> str:
        """The tag of the run's folder: the user's, which few labels it has, and the seed where it is not 0."""
        return whole_tag(self.tag, self.seed, self.n_labelled, self.label_seed)
