"""Sampling: how a generative trainer is asked for a prediction. Supervised trainers ignore it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from autodiffseg.records import Record

if TYPE_CHECKING:
    from torch import Tensor

NoiseSource = Callable[[int, int], "Tensor"]
"""`noise(step, channels)` -> standard normal `(B, channels, *patch)`. Step 0 is x_T; step i >= 1 is the fresh noise of
the i-th DDPM update. Asking twice gives the same numbers."""


class Sampling(Record):
    """Number of steps and kind of sampler."""

    steps: int = Field(default=5, ge=1)
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    eta: float = Field(default=0.0, ge=0.0, le=1.0)
    """DDIM's share of fresh noise: 0 is deterministic, 1 is DDPM's variance."""
