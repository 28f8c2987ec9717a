"""Self-attention at the bottom of the U-Net, where the recycling paper has one layer of it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from autodiffseg.plans import ATTENTION_HEADS as HEADS

NARROWING = 4
"""Channels of the stage for one of a head."""


class TransformerLayer(nn.Module):
    """One pre-norm layer of attention and perceptron over all voxels of the coarsest stage, as in the recycling paper.

    Each of the eight heads has a quarter of the channels. There is no positional embedding (nor in the last release of
    the paper's code), so that the patch size may change after training: the convolutions around it know where they are.

    Shape:
        x `(B, C, *spatial)` -> the same.
    """

    def __init__(self, channels: int) -> None:
        """`channels` must be a multiple of the number of heads; plans see to that."""
        super().__init__()
        self.norm_attention = nn.LayerNorm(channels)
        inner = HEADS * (channels // NARROWING)
        self.queries_keys_values = nn.Linear(channels, 3 * inner)
        self.out = nn.Linear(inner, channels)
        self.norm_perceptron = nn.LayerNorm(channels)
        self.perceptron = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Attend over space."""
        batch, channels = x.shape[:2]
        tokens = x.flatten(2).transpose(1, 2)  # (B, N, C)
        parts = self.queries_keys_values(self.norm_attention(tokens))  # (B, N, 6C)
        parts = parts.reshape(batch, -1, 3, HEADS, channels // NARROWING).permute(2, 0, 3, 1, 4)  # (3, B, H, N, C/4)
        attended = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])  # (B, H, N, C/4)
        tokens = tokens + self.out(attended.transpose(1, 2).flatten(2))
        tokens = tokens + self.perceptron(self.norm_perceptron(tokens))
        result: Tensor = tokens.transpose(1, 2).reshape(x.shape)
        return result


class Transformer(nn.Module):
    """Layers in a row and a last norm, which the residual sums of pre-norm layers lack.

    Shape:
        x `(B, C, *spatial)` -> the same.
    """

    def __init__(self, channels: int, layers: int) -> None:
        """At least one layer."""
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(channels) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over space."""
        for layer in self.layers:
            x = layer(x)
        result: Tensor = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        return result
