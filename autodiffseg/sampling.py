"""Sampling: how a generative trainer is asked for a prediction. Supervised trainers ignore it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from autodiffseg.records import Record

if TYPE_CHECKING:
    from torch import Tensor

NoiseSource = Callable[[int, int], "Tensor"]
"""`noise(step, channels)` -> standard normal `(B, channels, *patch)`. Step 0 is x_T; step i >= 1 is the fresh noise of
the i-th DDPM update. Asking twice gives the same numbers."""


Variance = Literal["fixed-small", "fixed-large"]
"""Of a DDPM step (arXiv 2006.11239 §3.2): that of q(x_s | x_t, x0), or the larger β of the step."""


class SamplingRequest(NamedTuple):
    """What a user asks for; None is the plan's."""

    steps: int | None = None
    sampler: str | None = None
    eta: float | None = None
    variance: str | None = None


class Sampling(Record):
    """Number of steps and kind of sampler."""

    steps: int = Field(default=5, ge=1)
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    eta: float = Field(default=0.0, ge=0.0, le=1.0)
    """DDIM's share of fresh noise: 0 is deterministic, 1 is DDPM's variance."""
    variance: Variance = "fixed-small"
    """Of a DDPM step. With few steps `fixed-large` makes x_t noisier than its level says."""
