"""What a cascade is shown of its previous stage in training, made worse at random: it must not be believed blindly.

Source of the list and its numbers: nnU-Net (v2.8.1, nnUNetTrainer), with the transforms of batchgeneratorsv2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.nnunet.random_binary_operator import ApplyRandomBinaryOperatorTransform
from batchgeneratorsv2.transforms.nnunet.remove_connected_components import (
    RemoveRandomConnectedComponentFromOneHotEncodingTransform,
)
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from torch import Tensor

from autodiffseg.dataloading import morphology
from autodiffseg.labels import UNKNOWN

OPERATOR_PROBABILITY = 0.4
OPERATOR_PER_CLASS = 0.5
LARGEST_RADIUS = 8
"""Voxels, of the ball or disc with which a class is dilated, eroded, opened or closed."""
REMOVAL_PROBABILITY = 0.2
LARGEST_REMOVED = 0.15
"""Fraction of the patch: what is larger is never removed."""


def _with_ball(operator: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """As the library calls its operators: with a ball or disc instead of its radius."""
    return lambda mask, ball: operator(mask, len(ball) // 2)


OPERATORS = tuple(
    _with_ball(operator) for operator in (morphology.dilate, morphology.erode, morphology.closed, morphology.opened)
)


def corrupt_segmentation(segmentation: Tensor) -> Tensor:
    """Dilate, erode, open or close some classes, and remove a connected component, each with its probability.

    It works on exclusive integers, also where a dataset has regions, so that a region stays inside the one around it.
    The draws come from the global states of numpy and torch, which the caller seeds.

    Args:
        segmentation: `(*patch)` integers, 2D or 3D; UNKNOWN where the case does not reach.

    Returns:
        The like; still UNKNOWN there.
    """
    counts = torch.bincount(segmentation.flatten().int() - UNKNOWN)
    values = [value for value in (counts.nonzero()[:, 0] + UNKNOWN).tolist() if value > 0]
    if not values:
        return segmentation
    channels = torch.stack([segmentation == value for value in values])
    channels = _transforms(len(values))(image=channels)["image"]
    corrupted = torch.zeros_like(segmentation)
    for value, channel in zip(values, channels, strict=True):
        corrupted.masked_fill_(channel, value)
    return corrupted.masked_fill_(segmentation == UNKNOWN, UNKNOWN)


def _transforms(classes: int) -> ComposeTransforms:
    """Made anew for each patch: the library's shuffle their list of channels in place and remember its order."""
    operators = ApplyRandomBinaryOperatorTransform(
        channel_idx=list(range(classes)), any_of_these=OPERATORS, strel_size=_radius, p_per_label=OPERATOR_PER_CLASS
    )
    removal = RemoveRandomConnectedComponentFromOneHotEncodingTransform(
        channel_idx=list(range(classes)),
        fill_with_other_class_p=0,
        dont_do_if_covers_more_than_x_percent=LARGEST_REMOVED,
    )
    return ComposeTransforms(
        [RandomTransform(operators, OPERATOR_PROBABILITY), RandomTransform(removal, REMOVAL_PROBABILITY)]
    )


def _radius(**_: Any) -> int:
    """Whole, unlike nnU-Net's: a fractional one makes a structuring element of even size, which shifts the class."""
    return int(np.random.randint(1, LARGEST_RADIUS + 1))
