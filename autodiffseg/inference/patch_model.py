"""PatchModel: what a trainer offers to inference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from autodiffseg.diffusion.trajectory import Trajectory
from autodiffseg.sampling import NoiseSource, Sampling


class PatchModel(Protocol):
    """What a trainer offers to inference."""

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        """Probabilities after every sampling step; the last is the answer (supervised yields once).

        Called from several threads at a time.

        Args:
            patch: `(B, C, *patch)` float32.
            noise: standard normal noise of these patches.
            sampling: steps and sampler; supervised trainers ignore it.

        Yields:
            `(B, K, *patch)` float32 in [0, 1].
        """
        ...

    def trajectory(self, sampling: Sampling) -> Trajectory | None:
        """The same steps one by one, for the mode `synchronised` alone; None where there is only one."""
        ...
