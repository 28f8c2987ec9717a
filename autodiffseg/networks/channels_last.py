"""Channels last: the memory layout in which the channels of a voxel lie side by side."""

from __future__ import annotations

import torch


def channels_last(dimensions: int) -> torch.memory_format:
    """The layout's name in torch, of tensors with 2 or 3 spatial axes."""
    return torch.channels_last_3d if dimensions == 3 else torch.channels_last
