"""Respacing: which of the base steps a sampling or a training with fewer steps visits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from autodiffseg.errors import UserError


def respaced_steps(base_steps: int, steps: int, mode: Literal["trailing", "endpoints"]) -> Tensor:
    """Indices of the visited base steps, ascending, `(steps,)` int64; the last base step is always among them.

    `trailing`: t_i = round((i+1)·T/S) - 1 (arXiv 2305.08891, table 2). `endpoints`: every (T-1)/(S-1)-th step, both
    ends kept (the recycling paper's).

    Raises:
        UserError: when there are more steps than base steps, or `endpoints` does not come out even.
    """
    if not 1 <= steps <= base_steps:
        raise UserError(f"{steps} steps are not possible: choose between 1 and the {base_steps} base steps.")
    if mode == "trailing":
        return torch.tensor([round((i + 1) * base_steps / steps) - 1 for i in range(steps)])
    if steps < 2 or (base_steps - 1) % (steps - 1):
        raise UserError(
            f"Respacing 'endpoints' cannot make {steps} steps of {base_steps}: {base_steps - 1} must be divisible by "
            "steps - 1; use 'trailing'."
        )
    return torch.arange(0, base_steps, (base_steps - 1) // (steps - 1))
