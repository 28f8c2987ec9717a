"""The variational bound of one step: against torch's own divergence, closed forms, and the odds of two values."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from autodiffseg.diffusion.process import x0_of
from autodiffseg.diffusion.samplers import ddpm_step, posterior_variance
from autodiffseg.losses.variational_bound import variational_bound

RNG = torch.Generator().manual_seed(0)
TARGET = torch.randint(2, (1, 3, 40), generator=RNG).float()
PREDICTED = torch.rand(1, 3, 40, generator=RNG)
KNOWN = torch.ones(1, 1, 40, dtype=torch.bool)
FIRST = torch.tensor(0.04, dtype=torch.float64)
PAIRS = [(0.3, 0.8), (0.0, 0.5), (4e-5, 3e-3), (0.9997, 0.9999)]


def bound(predicted: torch.Tensor, target: torch.Tensor = TARGET, *, t: float, s: float, **more: Any) -> torch.Tensor:
    bars = (torch.tensor([value], dtype=torch.float64) for value in (t, s))
    return variational_bound(
        predicted,
        target,
        more.pop("known", KNOWN),
        **dict(zip(("alpha_bar_t", "alpha_bar_s"), bars, strict=True)),
        first_variance=FIRST,
        **more,
    )


@pytest.mark.parametrize(("t", "s"), PAIRS)
@pytest.mark.parametrize("variance", ["fixed-small", "fixed-large"])
def test_it_is_the_divergence_of_the_samplers_step_from_the_process(t: float, s: float, variance: Any) -> None:
    x_t, zero = torch.randn(1, 3, 40, generator=RNG), torch.zeros(1, 3, 40)
    small = posterior_variance(t, s)
    added = small if variance == "fixed-small" else 1 - t / s
    process = Normal(ddpm_step(x_t, x0_of(TARGET), t, s, zero).double(), math.sqrt(small))
    model = Normal(ddpm_step(x_t, x0_of(PREDICTED), t, s, zero).double(), math.sqrt(added))
    wanted = kl_divergence(process, model).mean().item() / math.log(2)
    assert bound(PREDICTED, t=t, s=s, variance=variance).item() == pytest.approx(wanted, rel=2e-4)


@pytest.mark.parametrize(("t", "s"), PAIRS)
def test_with_the_posterior_variance_it_is_half_the_gain_in_signal_to_noise_times_the_error(t: float, s: float) -> None:
    gain = s / (1 - s) - t / (1 - t)  # arXiv 2107.00630 eq. 14
    error = 4 * (PREDICTED - TARGET).square().mean().item()
    assert bound(PREDICTED, t=t, s=s).item() == pytest.approx(gain * error / 2 / math.log(2), rel=1e-4)
    assert bound(TARGET, t=t, s=s).item() == 0


def test_the_first_step_is_the_likelihood_of_the_side_of_zero_by_hand() -> None:
    """σ = 0.2. A predicted x0 of 0.1 lies half a deviation on the right side, one of -0.1 on the wrong one."""
    target = torch.ones(1, 1, 1)
    for x0, odds in ((0.1, 0.691462), (-0.1, 0.308538), (0.0, 0.5)):
        found = bound(torch.full((1, 1, 1), (1 + x0) / 2), target, t=0.9999, s=1.0, known=KNOWN[..., :1])
        assert found.item() == pytest.approx(-math.log2(odds), rel=1e-5)


def test_the_first_step_asks_what_was_predicted_and_not_what_is_true() -> None:
    right, wrong = bound(TARGET, t=0.9, s=1.0).item(), bound(1 - TARGET, t=0.9, s=1.0).item()
    assert right == pytest.approx(-math.log2(Normal(0.0, 1.0).cdf(torch.tensor(5.0)).item()), abs=1e-6)
    assert wrong == pytest.approx(21.73, abs=0.01)  # -log2 Φ(-5)


def test_steps_of_a_batch_stay_apart_and_all_gradients_are_finite() -> None:
    predicted = torch.cat([PREDICTED, TARGET, PREDICTED]).requires_grad_()
    t, s = torch.tensor([[0.9999, 0.9999, 0.0], [1.0, 1.0, 0.4]], dtype=torch.float64)
    together = variational_bound(
        predicted, TARGET.expand(3, -1, -1), KNOWN.expand(3, -1, -1), alpha_bar_t=t, alpha_bar_s=s, first_variance=FIRST
    )
    (gradient,) = torch.autograd.grad(together, predicted)
    assert gradient.isfinite().all()
    alone = bound(PREDICTED, t=0.9999, s=1.0) + bound(TARGET, t=0.9999, s=1.0) + bound(PREDICTED, t=0.0, s=0.4)
    assert together.item() == pytest.approx(alone.item() / 3, rel=1e-5)


def test_unknown_voxels_do_not_count() -> None:
    known = KNOWN.clone()
    known[..., :10] = False
    some = bound(PREDICTED[..., 10:], TARGET[..., 10:], t=0.3, s=0.8, known=KNOWN[..., 10:]).item()
    assert bound(PREDICTED, t=0.3, s=0.8, known=known).item() == pytest.approx(some, rel=1e-5)
    assert bound(PREDICTED, t=0.3, s=0.8, known=~KNOWN).item() == 0
