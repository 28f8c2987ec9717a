"""The optimiser and its learning-rate schedule, the same for every trainer."""

from __future__ import annotations

import math

import torch
from torch import nn

from .options import LearningOptions


def make_optimiser(network: nn.Module, options: LearningOptions) -> torch.optim.Optimizer:
    """AdamW over all parameters; norms and biases are not decayed."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate)


def learning_rate(update: int, iterations: int, options: LearningOptions) -> float:
    """The learning rate of update 0, 1, …: a linear rise, then half a cosine that ends at zero."""
    warmup = min(options.warmup, iterations // 10)
    if update < warmup:
        return options.learning_rate * (update + 1) / warmup
    done = (update - warmup) / max(1, iterations - warmup)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
