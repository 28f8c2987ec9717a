"""Noise schedules: ᾱ over the base steps, in float64.

| symbol | here |
|---|---|
| T, number of base steps | `base_steps` |
| β_t | `betas` |
| ᾱ_t = Π(1-β) | `alpha_bar` |
| log ᾱ/(1-ᾱ) | `level` |
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autodiffseg.errors import UserError
from autodiffseg.networks.conditioning import LEVEL_LIMIT
from autodiffseg.plans import DiffusionPlan

TERMINAL_SIGNAL = 0.01
"""√ᾱ of the last step above which it is rescaled unless the plan says otherwise: sampling begins at pure noise, and
what it begins with must look like what the network was trained on."""


def alpha_bar(plan: DiffusionPlan) -> Tensor:
    """ᾱ of every base step, `(T,)` float64, falling from nearly 1 to 0 or nearly 0.

    `linear`: DDPM (arXiv 2006.11239 §4). `quadratic`: linear in √β. `warmup10`, `warmup50`: β rises quadratically over
    the first tenth or half and then stays. `cosine`: arXiv 2102.09672 eq. 17. Rescaling to zero terminal SNR follows
    where the plan or the last step asks for it; a shift of the log-SNR comes last.
    """
    result = _cosine(plan.base_steps) if plan.schedule == "cosine" else torch.cumprod(1 - _betas(plan), dim=0)
    asked = plan.zero_terminal_snr
    if asked or (asked is None and result[-1] > TERMINAL_SIGNAL**2):
        result = rescaled(result)
    if plan.log_snr_shift:
        result = torch.sigmoid(torch.logit(result) + plan.log_snr_shift)
    return result


def alpha_bar_on(device: torch.device, plan: DiffusionPlan) -> Tensor:
    """`alpha_bar` on a device; in float32 on MPS, which has no float64."""
    return alpha_bar(plan).to(device, torch.float32 if device.type == "mps" else torch.float64)


def rescaled(alpha_bar: Tensor) -> Tensor:
    """√ᾱ moved and stretched so that its last value is 0 and its first stays (arXiv 2305.08891, algorithm 1)."""
    root = alpha_bar.sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])).square()


def require_apart(alpha_bar: Tensor, plan: DiffusionPlan, *, plan_name: str) -> None:
    """Refuse a schedule two steps of which have the same ᾱ in double precision, or whose first has no noise.

    What a step adds would be divided by zero there.

    Args:
        alpha_bar: of every base step, `(T,)` float64.
        plan: what it was made of.
        plan_name: for the message.

    Raises:
        UserError: names the first such step, and what makes it so.
    """
    falls = torch.cat([alpha_bar.new_ones(1), alpha_bar]).diff() < 0
    if falls.all():
        return
    step = int((~falls).nonzero()[0])
    cause = f"log_snr_shift {plan.log_snr_shift:g}" if plan.log_snr_shift else f"beta_start {plan.beta_start:g}"
    before = "the clean mask" if step == 0 else f"step {step - 1}"
    raise UserError(
        f"Plan '{plan_name}' with {cause}: base step {step} is no noisier than {before} in double precision; "
        f"choose a {cause.split()[0]} {'nearer to 0' if plan.log_snr_shift else 'further from 0'}."
    )


def level(alpha_bar: Tensor) -> Tensor:
    """The log signal-to-noise ratio log ᾱ/(1-ᾱ) in the type of ᾱ, clipped to ±20: what the network is told."""
    return torch.logit(alpha_bar).clamp(-LEVEL_LIMIT, LEVEL_LIMIT)


def _betas(plan: DiffusionPlan) -> Tensor:
    start, end, steps = plan.beta_start, plan.beta_end, plan.base_steps
    if plan.schedule == "linear":
        return torch.linspace(start, end, steps, dtype=torch.float64)
    rising = {"quadratic": steps, "warmup10": steps // 10, "warmup50": steps // 2}[plan.schedule]
    betas = torch.full((steps,), end, dtype=torch.float64)
    betas[:rising] = torch.linspace(math.sqrt(start), math.sqrt(end), rising, dtype=torch.float64).square()
    return betas


def _cosine(steps: int) -> Tensor:
    """ᾱ = f(t)/f(0) with f(t) = cos²((t/T + s)/(1 + s)·π/2), s = 0.008, each β at most 0.999."""
    offset = 0.008
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    f = torch.cos((t + offset) / (1 + offset) * math.pi / 2).square()
    betas = (1 - f[1:] / f[:-1]).clamp(max=0.999)
    return torch.cumprod(1 - betas, dim=0)
