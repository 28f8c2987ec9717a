"""The loss of every trainer: a weighted sum of losses, over all resolutions under deep supervision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from autodiffseg.losses.cross_entropy import cross_entropy
from autodiffseg.losses.dice import dice_loss
from autodiffseg.losses.focal import focal_loss
from autodiffseg.losses.resolutions import at_resolution, deep_supervision_weights
from autodiffseg.losses.squared_error import squared_error


class Loss(NamedTuple):
    """What is minimised, and the parts that are logged under their names."""

    total: Tensor
    parts: dict[str, Tensor]


def probabilities_of(logits: Tensor, *, regions: bool) -> Tensor:
    """Softmax over classes or sigmoid per region, in float32: `(B, K, *patch)` -> the same."""
    logits = logits.float()
    return logits.sigmoid() if regions else logits.softmax(dim=1)


def segmentation_loss(
    logits: Tensor | Sequence[Tensor],
    target: Tensor,
    known: Tensor,
    *,
    regions: bool,
    batch_dice: bool,
    dice_weight: float = 1.0,
    cross_entropy_weight: float = 1.0,
    focal_weight: float = 0.0,
    mse_weight: float = 0.0,
) -> Loss:
    """Weighted sum of Dice loss (without background), cross-entropy, focal loss and squared error, in float32.

    The first two are computed at any weight, to be logged; the others where they have one.

    Args:
        logits: `(B, K, *patch)`, or several of them, finest first, under deep supervision.
        target: `(B, K, *patch)` in {0, 1}; coarser levels see it sampled at the nearest voxel.
        known: `(B, 1, *patch)` bool.
        regions: channels are overlapping regions (sigmoid, no background channel).
        batch_dice: see `dice_loss`.
        dice_weight: of the Dice loss.
        cross_entropy_weight: of the cross-entropy.
        focal_weight: of the focal loss.
        mse_weight: of the squared error.
    """
    levels = [logits] if isinstance(logits, Tensor) else list(logits)
    weights = deep_supervision_weights(len(levels))
    dice_total = cross_entropy_total = more = torch.zeros((), device=target.device)
    for weight, level in zip(weights, levels, strict=True):
        wanted, seen = at_resolution(target, level.shape[2:]), at_resolution(known, level.shape[2:])
        first = 0 if regions else 1
        probabilities = probabilities_of(level, regions=regions)
        part = dice_loss(probabilities[:, first:], wanted[:, first:], seen, batch_dice=batch_dice)
        dice_total = dice_total + weight * part
        cross_entropy_total = cross_entropy_total + weight * cross_entropy(level.float(), wanted, seen, regions=regions)
        if focal_weight:
            more = more + focal_weight * weight * focal_loss(level.float(), wanted, seen, regions=regions)
        if mse_weight:
            more = more + mse_weight * weight * squared_error(probabilities, wanted, seen)
    total = dice_weight * dice_total + cross_entropy_weight * cross_entropy_total + more
    return Loss(total, {"dice_loss": dice_total.detach(), "cross_entropy": cross_entropy_total.detach()})
