"""What the meta device stands for: tensors there have no content, and are treated as those of CUDA or of the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from autodiffseg.memory.autocast_lists import Place

_place: ContextVar[Place] = ContextVar("meta stands for", default="cuda")


def place_of_meta() -> Place:
    """What the meta device stands for now: CUDA unless told otherwise."""
    return _place.get()


def is_cpu(device: torch.device) -> bool:
    """Whether `device` is the CPU, or the meta device and stands for it."""
    return device.type == "cpu" or (device.type == "meta" and place_of_meta() == "cpu")


@contextmanager
def meta_stands_for(place: Place) -> Iterator[None]:
    """In the block, the meta device stands for `place`."""
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)
