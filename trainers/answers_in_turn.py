"""AnswersInTurn: a read-out whose answers see mirrored versions in turn, or are given one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor

from autodiffseg.diffusion.trajectory import Trajectory
from autodiffseg.inference.mirroring import Mirror, all_mirrors
from autodiffseg.sampling import NoiseSource, Sampling


class Answering(Protocol):
    """A trainer whose prediction is the mean of answers."""

    def answers(
        self, patch: Tensor, noise: NoiseSource, *, mirrors: Sequence[Mirror] = ..., only: int | None = ...
    ) -> Iterator[Tensor]:
        """Probabilities `(B, K, *patch)`; the n-th answer sees the n-th mirrored version, in turn."""
        ...


class AnswersInTurn:
    """A `PatchModel`.

    With the 8 steps of TEDM and the 8 versions of a 3D patch, turns add no pass to those of the steps, where every
    version whole takes 64.
    """

    def __init__(self, trainer: Answering, axes: Sequence[int], only: int | None = None) -> None:
        """Pair the answers of `trainer` with the versions mirrored along `axes`; give one of them, or their mean."""
        self._trainer, self._mirrors, self._only = trainer, all_mirrors(axes), only

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        """The mean of the answers so far, after each of them."""
        return running_mean(self._trainer.answers(patch, noise, mirrors=self._mirrors, only=self._only))

    def trajectory(self, sampling: Sampling) -> Trajectory | None:
        """None: answers do not lead to one another."""
        return None


def running_mean(answers: Iterator[Tensor]) -> Iterator[Tensor]:
    """The mean of all so far, after each."""
    total: Tensor | None = None
    for number, answer in enumerate(answers, start=1):
        total = answer if total is None else total + answer
        yield total / number
