"""Noise-level conditioning: how the network is told how noisy its mask input is."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autodiffseg.memory.stand_in import is_cpu

LEVEL_LIMIT = 20.0
"""Levels are clipped to [-20, 20]: beyond it nothing changes that a network could see."""
FREQUENCIES = 32
EMBEDDING = 128


class LevelEmbedding(nn.Module):
    """A noise level `(B,)`, log ᾱ/(1-ᾱ), as a vector `(B, EMBEDDING)`.

    Sines and cosines of the level (wavelengths from 1.5 to 125, for a range of 40) through a small perceptron. The
    level, not the step's number, is embedded, so that another respacing cannot change what the network is told.
    """

    frequencies: Tensor

    def __init__(self) -> None:
        """Create the perceptron."""
        super().__init__()
        frequencies = torch.exp(torch.linspace(math.log(0.05), math.log(4.0), FREQUENCIES))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.perceptron = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING)
        )

    def forward(self, level: Tensor) -> Tensor:
        """Embed `level` `(B,)`, float."""
        angles = level.float()[:, None] * self.frequencies  # (B, F)
        embedding: Tensor = self.perceptron(torch.cat([angles.sin(), angles.cos()], dim=1))
        return F.silu(embedding)


class ConditionedInstanceNorm(nn.Module):
    """Instance normalisation whose affine is scaled and shifted by the noise level (FiLM).

    The scale and the shift stand *after* the normalisation: added before it, a vector that is constant over space
    would be subtracted again with the mean. They are folded into the norm's own affine, which is exact and keeps no
    further activation: an instance norm of the `(1, B·C, …)` view with one weight per sample and channel.

    Shape:
        x `(B, C, *spatial)`, embedding `(B, EMBEDDING)` or None -> `(B, C, *spatial)`.
    """

    def __init__(self, channels: int, *, conditioned: bool) -> None:
        """Normalise `channels` channels; `conditioned` adds the layer that reads the embedding."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.film = nn.Linear(EMBEDDING, 2 * channels) if conditioned else None
        if self.film is not None:
            # Near the identity at first, yet not at zero: every layer before it has a gradient from the first update.
            nn.init.normal_(self.film.weight, std=0.02)
            nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """Normalise each sample and channel over space."""
        if self.film is None or embedding is None:
            return _instance_norm(x, self.weight, self.bias)
        batch, channels = x.shape[:2]
        scale, shift = self.film(embedding).float().chunk(2, dim=1)  # (B, C) each
        weight = self.weight * (1 + scale)
        bias = self.bias * (1 + scale) + shift
        folded = x.reshape(1, batch * channels, *x.shape[2:])
        return _instance_norm(folded, weight.flatten(), bias.flatten()).reshape(x.shape)


def _instance_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Normalise every channel of every sample of `x` `(B, C, *spatial)`; `weight` and `bias` are `(C,)`.

    On a CPU a group norm with one channel a group computes it, two to seven times as fast. On CUDA autocast would
    make that one fp32.
    """
    if is_cpu(x.device):
        return F.group_norm(x.contiguous(), x.shape[1], weight, bias)
    return F.instance_norm(x, weight=weight, bias=bias)
