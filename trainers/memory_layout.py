"""Memory layout of a network's weights: with which order of axes a device trains it fastest."""

from __future__ import annotations

import torch

from autodiffseg.networks.channels_last import channels_last

from .precision import Precision


def training_layout(device: torch.device, precision: Precision, dimensions: int) -> torch.memory_format:
    """The layout to train in: channels last on a CPU, where it pays, else channels first.

    Channels last saves a tenth of an update in 3D and in bf16. 2D networks in fp32 take a third longer with it (the
    processor's fp32 kernels want blocks of channels, and norms want channels first); so do instance norms on CUDA.
    """
    if device.type != "cpu" or (dimensions == 2 and precision == "fp32"):
        return torch.contiguous_format
    return channels_last(dimensions)
