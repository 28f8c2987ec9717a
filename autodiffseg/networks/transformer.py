"""Self-attention at the bottom of the U-Net, where the recycling paper has one layer of it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from autodiffseg.plans import ATTENTION_HEADS as HEADS


class TransformerLayer(nn.Module):
    """One pre-norm layer of attention and perceptron over all voxels of the coarsest stage.

    Without positional embedding, so that the patch size may change after training: the convolutions around it know
    where they are.

    Shape:
        x `(B, C, *spatial)` -> the same.
    """

    def __init__(self, channels: int) -> None:
        """`channels` must be a multiple of the number of heads; plans see to that."""
        super().__init__()
        self.norm_attention = nn.LayerNorm(channels)
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.norm_perceptron = nn.LayerNorm(channels)
        self.perceptron = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Attend over space."""
        batch, channels = x.shape[:2]
        tokens = x.flatten(2).transpose(1, 2)  # (B, N, C)
        parts = self.queries_keys_values(self.norm_attention(tokens))  # (B, N, 3C)
        parts = parts.reshape(batch, -1, 3, HEADS, channels // HEADS).permute(2, 0, 3, 1, 4)  # (3, B, H, N, C/H)
        attended = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])  # (B, H, N, C/H)
        tokens = tokens + self.out(attended.transpose(1, 2).reshape(batch, -1, channels))
        tokens = tokens + self.perceptron(self.norm_perceptron(tokens))
        result: Tensor = tokens.transpose(1, 2).reshape(x.shape)
        return result
