"""StackedHead: the read-out head as the papers have it, a perceptron over all features at full resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autodiffseg.networks.blocks import CONVOLUTIONS
from autodiffseg.networks.read_out_head import ReadOutHead


class StackedHead(nn.Module):
    """What `ReadOutHead` with nearest interpolation equals, with random weights of its own."""

    def __init__(self, head: ReadOutHead) -> None:
        """Read the same features into the same layers as `head`, whose tail it takes."""
        super().__init__()
        weights = [parameter for parameter in head.projections.parameters() if parameter.ndim > 1]
        channels, hidden = sum(weight.shape[1] for weight in weights), weights[0].shape[0]
        self.first = CONVOLUTIONS[weights[0].ndim - 2](channels, hidden, 1)
        self.tail = head.tail

    def forward(self, features: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Logits `(B, classes, *size)`."""
        stack = torch.cat([F.interpolate(feature, tuple(size), mode="nearest") for feature in features], dim=1)
        logits: Tensor = self.tail(self.first(stack))
        return logits
