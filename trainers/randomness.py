"""Randomness on the device: a fresh generator for every update, so that resuming changes nothing."""

from __future__ import annotations

import numpy as np
import torch


def generator(device: torch.device, *numbers: int) -> torch.Generator:
    """A generator on `device` whose stream is a function of `numbers` (each >= 0), as good as independent of others.

    The meta device, where nothing is drawn, takes one of the CPU.
    """
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator("cpu" if device.type == "meta" else device).manual_seed(int(state) >> 1)
