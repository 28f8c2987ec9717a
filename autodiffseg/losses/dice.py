"""Soft Dice loss (V-Net, arXiv 1606.04797), masked where the label is unknown."""

from __future__ import annotations

from torch import Tensor

SMOOTH = 1e-5
"""Keeps the loss finite without foreground; a class that is rightly absent then scores 1."""


def dice_loss(probabilities: Tensor, target: Tensor, known: Tensor, *, batch_dice: bool) -> Tensor:
    """One minus the mean soft Dice over the given channels.

    Args:
        probabilities: `(B, K, *patch)` in [0, 1]; leave the background out.
        target: `(B, K, *patch)` in {0, 1}.
        known: `(B, 1, *patch)` bool; voxels outside do not count.
        batch_dice: sum over the batch before dividing, as if it were one image: steadier with small structures.

    Returns:
        A scalar in [0, 1].
    """
    axes = [0, *range(2, target.ndim)] if batch_dice else list(range(2, target.ndim))
    weight = known.to(probabilities.dtype)
    overlap = (probabilities * target * weight).sum(axes)
    total = ((probabilities + target) * weight).sum(axes)
    return 1 - ((2 * overlap + SMOOTH) / (total + SMOOTH)).mean()
