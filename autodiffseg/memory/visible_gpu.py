"""The CUDA device that this process sees, and what it says of its memory."""

from __future__ import annotations

from typing import NamedTuple

import torch

from autodiffseg.memory.calibration import Reading


class VisibleGpu(NamedTuple):
    """A CUDA device."""

    name: str
    """Of the model."""
    memory: int
    """All of it, bytes."""


def visible_gpu(device: torch.device | None = None) -> VisibleGpu | None:
    """The CUDA device `device`, by default the first; None when there is none."""
    if not torch.cuda.is_available() or (device is not None and device.type != "cuda"):
        return None
    properties = torch.cuda.get_device_properties(device or torch.device("cuda"))
    return VisibleGpu(properties.name, properties.total_memory)


def read_gpu(device: torch.device) -> Reading:
    """Most bytes that torch's allocator has taken on `device` since the start, or since its peaks were reset."""
    gpu = torch.cuda.get_device_properties(device).name
    return Reading(gpu, torch.__version__, torch.cuda.max_memory_reserved(device))
