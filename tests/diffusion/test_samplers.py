"""Samplers: with the true x0 fed in, every x_t must have the mean and spread that the process gives it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from autodiffseg.diffusion.process import network_view, noised, x0_of
from autodiffseg.diffusion.respacing import respaced_steps
from autodiffseg.diffusion.samplers import ddim_step, ddpm_step, posterior_variance
from autodiffseg.diffusion.schedule import alpha_bar
from autodiffseg.diffusion.trajectory import Trajectory
from autodiffseg.plans import DiffusionPlan
from autodiffseg.sampling import Sampling

VOXELS = 60_000
SCHEDULES = ["linear", "quadratic", "cosine", "warmup10", "warmup50"]


def noisiest_first(bars: Tensor) -> tuple[float, ...]:
    return tuple(bars.flip(0).tolist())


def oracle_run(plan: DiffusionPlan, sampling: Sampling) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """x_t before every step, the yielded probabilities and ᾱ, of a sampler that is told x0 = 1."""
    bars = alpha_bar(plan)[respaced_steps(plan.base_steps, sampling.steps, "trailing")]
    seen: list[Tensor] = []

    def denoise(patch: Tensor, x_t: Tensor, alpha_bar_t: float, previous: Tensor | None) -> Tensor:
        seen.append(x_t)
        return torch.ones_like(x_t)

    def noise(step: int, channels: int) -> Tensor:
        return torch.randn(1, channels, VOXELS, generator=torch.Generator().manual_seed(step))

    return seen, list(Trajectory(denoise, noisiest_first(bars), sampling, 1).walk(torch.zeros(1), noise)), bars


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("rescaled", [None, True])
@pytest.mark.parametrize("sampler", [("ddpm", 0.0), ("ddim", 0.0), ("ddim", 0.5), ("ddim", 1.0)])
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10, 20, 50])
def test_oracle_marginals(schedule: str, rescaled: bool | None, sampler: tuple[str, float], steps: int) -> None:
    plan = DiffusionPlan.model_validate({"schedule": schedule, "zero_terminal_snr": rescaled})
    sampling = Sampling.model_validate({"steps": steps, "sampler": sampler[0], "eta": sampler[1]})
    seen, yielded, bars = oracle_run(plan, sampling)
    assert len(yielded) == steps
    assert (yielded[-1] == 1).all()
    # The first x_t is exact N(0, I); the rest of the signal of the last base step is below what the test can see.
    for x_t, bar in zip(seen, bars.flip(0), strict=True):
        assert x_t.mean().item() == pytest.approx(math.sqrt(bar), abs=0.02)
        assert x_t.std().item() == pytest.approx(math.sqrt(1 - bar), abs=0.02)


def excess_of_fixed_large(bars: Tensor, index: int) -> float:
    """What the variance of x at a step exceeds 1-ᾱ by: the surplus of every update before it, carried down to it."""
    v, here = bars.tolist(), float(bars[index])
    surplus = 0.0
    for j in range(index, len(v) - 1):  # the update from step j + 1 to step j, whose weight of x_t telescopes
        made = (v[j] - v[j + 1]) ** 2 / (v[j] * (1 - v[j + 1]))
        surplus += made * v[j] / here * ((1 - here) / (1 - v[j])) ** 2
    return surplus


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10, 20, 50])
def test_fixed_large_keeps_the_mean_and_exceeds_the_variance_by_its_closed_form(schedule: str, steps: int) -> None:
    plan = DiffusionPlan.model_validate({"schedule": schedule})
    seen, yielded, bars = oracle_run(plan, Sampling(steps=steps, variance="fixed-large"))
    assert (yielded[-1] == 1).all()
    for x_t, index in zip(seen, reversed(range(steps)), strict=True):
        variance = 1 - float(bars[index]) + excess_of_fixed_large(bars, index)
        assert x_t.mean().item() == pytest.approx(math.sqrt(bars[index]), abs=0.02)
        assert x_t.std().item() == pytest.approx(math.sqrt(variance), abs=0.02)


def test_fixed_large_does_not_keep_the_marginals_of_few_steps() -> None:
    bars = alpha_bar(DiffusionPlan())[respaced_steps(1001, 5, "trailing")]
    assert excess_of_fixed_large(bars, 0) == pytest.approx(0.41, abs=0.01)
    assert excess_of_fixed_large(alpha_bar(DiffusionPlan()), 199) == pytest.approx(0.002, abs=0.001)


def test_fixed_large_adds_beta() -> None:
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    step = ddpm_step(zero, zero, 0.3, 0.8, one, variance="fixed-large")
    assert step.item() == pytest.approx(math.sqrt(1 - 0.3 / 0.8))


def test_the_posterior_of_the_paper_by_its_published_constants() -> None:
    bars = alpha_bar(DiffusionPlan())[respaced_steps(1001, 5, "endpoints")].tolist()
    expected_variance = [9.9989e-5, 0.441168, 0.885712, 0.984723]
    expected_x0, expected_xt = [0.99984, 0.66632, 0.26828, 0.05692], [1.51e-4, 0.200546, 0.190832, 0.109357]
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for i in range(1, 5):
        here, there = bars[i], bars[i - 1]
        assert posterior_variance(here, there) == pytest.approx(expected_variance[i - 1], rel=1e-4)
        assert ddpm_step(zero, one, here, there, zero).item() == pytest.approx(expected_x0[i - 1], abs=1e-5)
        assert ddpm_step(one, zero, here, there, zero).item() == pytest.approx(expected_xt[i - 1], abs=1e-5)


def test_deterministic_ddim_keeps_the_noise_it_started_from() -> None:
    x0, epsilon = torch.randn(1, 1, 9), torch.randn(1, 1, 9)
    x_t = math.sqrt(0.3) * x0 + math.sqrt(0.7) * epsilon
    x_s = ddim_step(x_t, x0, 0.3, 0.8, eta=0.0, noise=None)
    torch.testing.assert_close(x_s, math.sqrt(0.8) * x0 + math.sqrt(0.2) * epsilon)


def test_ddim_with_eta_one_has_the_variance_of_ddpm() -> None:
    noise = torch.ones(1)
    plain = ddim_step(torch.zeros(1), torch.zeros(1), 0.3, 0.8, eta=1.0, noise=torch.zeros(1))
    assert (ddim_step(torch.zeros(1), torch.zeros(1), 0.3, 0.8, eta=1.0, noise=noise) - plain).item() == pytest.approx(
        math.sqrt(posterior_variance(0.3, 0.8))
    )


def test_the_full_loop_equals_the_textbook_recursion_of_the_respaced_chain() -> None:
    bars = alpha_bar(DiffusionPlan())[respaced_steps(1001, 5, "trailing")]

    def noise(step: int, channels: int) -> Tensor:
        return torch.linspace(-1, 1, 8).reshape(1, 1, 8) * (1 + step)

    def denoise(patch: Tensor, x_t: Tensor, alpha_bar_t: float, previous: Tensor | None) -> Tensor:
        return torch.sigmoid(x_t * (1 + alpha_bar_t))

    way = Trajectory(denoise, noisiest_first(bars), Sampling(sampler="ddpm"), 1)
    sums = [float(p.square().sum()) for p in way.walk(torch.zeros(1), noise)]
    x = torch.linspace(-1, 1, 8, dtype=torch.float64)
    values = bars.tolist()
    for count, i in enumerate(reversed(range(5))):
        p = torch.sigmoid(x * (1 + values[i]))
        assert sums[count] == pytest.approx(float(p.square().sum()), abs=1e-4)
        if i:
            beta = 1 - values[i] / values[i - 1]
            mean = math.sqrt(values[i - 1]) * beta * (2 * p - 1) + math.sqrt(1 - beta) * (1 - values[i - 1]) * x
            spread = math.sqrt(beta * (1 - values[i - 1]) / (1 - values[i]))
            x = mean / (1 - values[i]) + spread * torch.linspace(-1, 1, 8, dtype=torch.float64) * (2 + count)


def test_noising_at_full_signal_is_the_mask_and_at_none_is_noise() -> None:
    x0, noise = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    mixed = noised(x0, torch.tensor([1.0, 0.0], dtype=torch.float64), noise)
    torch.testing.assert_close(mixed[0], x0[0])
    torch.testing.assert_close(mixed[1], noise[1])


def test_the_network_sees_a_clean_mask_as_it_is() -> None:
    mask = torch.randint(2, (1, 3, 8)).float()
    torch.testing.assert_close(network_view(x0_of(mask)), mask)
    assert network_view(torch.tensor([-7.0, 0.0, 7.0])).tolist() == [0.0, 0.5, 1.0]
