"""Cross-entropy per voxel, for exclusive classes and for regions, masked where the label is unknown."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from autodiffseg.losses.known_mean import known_mean


def cross_entropy(logits: Tensor, target: Tensor, known: Tensor, *, regions: bool) -> Tensor:
    """Mean cross-entropy over known voxels; 0 when none is known.

    Args:
        logits: `(B, K, *patch)`.
        target: `(B, K, *patch)` one-hot over classes, or in {0, 1} per region.
        known: `(B, 1, *patch)` bool.
        regions: sigmoid per channel (mean over channels) instead of softmax over them.
    """
    if regions:
        voxelwise = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1, keepdim=True)
    else:
        voxelwise = -(F.log_softmax(logits, dim=1) * target).sum(1, keepdim=True)  # (B, 1, *patch)
    return known_mean(voxelwise, known)
