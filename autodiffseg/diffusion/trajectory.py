"""Trajectory: the way from pure noise to a mask, level by level, for one patch or for a whole case in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from autodiffseg.diffusion.process import x0_of
from autodiffseg.diffusion.samplers import ddim_step, ddpm_step
from autodiffseg.sampling import NoiseSource, Sampling


class Denoise(Protocol):
    """One network call: what the clean mask is, from the image and x_t."""

    def __call__(self, patch: Tensor, x_t: Tensor, alpha_bar_t: float, previous: Tensor | None) -> Tensor:
        """Probabilities of the clean mask.

        Args:
            patch: `(B, C, *patch)`.
            x_t: `(B, K, *patch)`.
            alpha_bar_t: the level of x_t.
            previous: probabilities of the step before, `(B, K, *patch)`, or None at the first.

        Returns:
            `(B, K, *patch)` float32 in [0, 1].
        """
        ...


@dataclass(frozen=True)
class Trajectory:
    """The levels that are visited, and how x_t comes about at each.

    Between two network calls nothing looks beyond a voxel, so x_t of a crop is the crop of x_t, whoever puts the
    probabilities together that lead from one level to the next.
    """

    denoise: Denoise
    levels: tuple[float, ...]
    """ᾱ of the visited steps, the noisiest first."""
    sampling: Sampling
    """The sampler, its eta and its variance."""
    channels: int
    """K."""

    def start(self, noise: NoiseSource) -> Tensor:
        """x_T `(B, K, *patch)`: pure noise."""
        return noise(0, self.channels)

    def advance(self, done: int, x_t: Tensor, probabilities: Tensor, noise: NoiseSource) -> Tensor:
        """x of the next level, after `done` calls of the network.

        Args:
            done: 1 or more, fewer than there are levels.
            x_t: what the last call was shown.
            probabilities: what it answered, or whatever is to be believed instead.
            noise: step i >= 1 is the fresh noise of the i-th update.
        """
        x0, here, there = x0_of(probabilities), self.levels[done - 1], self.levels[done]
        if self.sampling.sampler == "ddpm":
            return ddpm_step(x_t, x0, here, there, noise(done, self.channels), variance=self.sampling.variance)
        fresh = noise(done, self.channels) if self.sampling.eta > 0 else None
        return ddim_step(x_t, x0, here, there, eta=self.sampling.eta, noise=fresh)

    def walk(self, patch: Tensor, noise: NoiseSource) -> Iterator[Tensor]:
        """Go the whole way; the probabilities predicted at every level are yielded, the last is the answer."""
        x_t, previous = self.start(noise), None
        for done, level in enumerate(self.levels, start=1):
            previous = self.denoise(patch, x_t, level, previous)
            yield previous
            if done < len(self.levels):
                x_t = self.advance(done, x_t, previous, noise)
