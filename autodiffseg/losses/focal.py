"""Focal loss (arXiv 1708.02002, eq. 4): cross-entropy that leaves aside voxels which are already right."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from autodiffseg.losses.known_mean import known_mean

GAMMA = 2.0
"""Of (1-p)^γ: the value of that paper and of the recycling paper."""


def focal_loss(logits: Tensor, target: Tensor, known: Tensor, *, regions: bool) -> Tensor:
    """Mean focal loss over known voxels, without weights of classes; 0 when none is known.

    Args:
        logits: `(B, K, *patch)`.
        target: `(B, K, *patch)` one-hot over classes, or in {0, 1} per region.
        known: `(B, 1, *patch)` bool.
        regions: sigmoid per channel (mean over channels) instead of softmax over them.
    """
    if regions:
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        voxelwise = ((1 - (-entropy).exp()) ** GAMMA * entropy).mean(1, keepdim=True)
    else:
        log_probabilities = F.log_softmax(logits, dim=1)
        focus = (1 - log_probabilities.exp()) ** GAMMA
        voxelwise = -(focus * log_probabilities * target).sum(1, keepdim=True)  # (B, 1, *patch)
    return known_mean(voxelwise, known)
