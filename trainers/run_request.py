"""Requests: a training as the user asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autodiffseg.runs import whole_tag


@dataclass(frozen=True, kw_only=True)
class LearningRequest:
    """What all is asked for that learns, as typed."""

    dataset: str
    configuration: str
    plan: str | None
    tag: str
    seed: int
    iterations: int | None
    device: str | None
    precision: str
    settings: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class RunRequest(LearningRequest):
    """A fold of a trainer."""

    fold: str
    trainer: str
    n_labelled: int | None = None
    label_seed: int = 0

    @property
    def whole_tag(self) -> str:
        """The tag of the run's folder: the user's, which few labels it has, and the seed where it is not 0."""
        return whole_tag(self.tag, self.seed, self.n_labelled, self.label_seed)
