"""Schedules and respacing: the constants of the paper's five steps, and the laws that every schedule obeys."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.diffusion.respacing import respaced_steps
from autodiffseg.diffusion.schedule import alpha_bar, level, require_apart
from autodiffseg.errors import UserError
from autodiffseg.plans import DiffusionPlan

SCHEDULES = ["linear", "quadratic", "cosine", "warmup10", "warmup50"]
# The five steps of the reference, computed from its own definition with 1001 base steps.
FIVE_STEPS = {
    "linear": [0.9999, 0.521750, 0.0779923, 0.00331891, 3.9952e-5],
    "quadratic": [0.9999, 0.820227, 0.331865, 0.0383661, 7.2814e-4],
    "warmup10": [0.9999, 0.0229357, 1.46903e-4, 9.40913e-7, 6.02655e-9],
    "warmup50": [0.9999, 0.574206, 0.0265009, 1.69738e-4, 1.08717e-6],
}


@pytest.mark.parametrize("schedule", FIVE_STEPS)
def test_the_five_steps_of_the_paper(schedule: str) -> None:
    plan = DiffusionPlan.model_validate({"schedule": schedule, "zero_terminal_snr": False})
    five = alpha_bar(plan)[respaced_steps(1001, 5, "endpoints")]
    assert five.tolist() == pytest.approx(FIVE_STEPS[schedule], rel=5e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rescaling_moves_and_stretches_the_root_and_ends_at_pure_noise(schedule: str) -> None:
    plan = DiffusionPlan.model_validate({"schedule": schedule, "zero_terminal_snr": False})
    before = alpha_bar(plan).sqrt()
    after = alpha_bar(plan.model_copy(update={"zero_terminal_snr": True})).sqrt()
    assert after[-1] == 0
    torch.testing.assert_close(after[0], before[0])
    torch.testing.assert_close(after, (before - before[-1]) * (before[0] / (before[0] - before[-1])))


@pytest.mark.parametrize(
    ("settings", "rescaled"),
    [
        ({"schedule": "linear"}, False),  # √ᾱ of the last step 0.006
        ({"schedule": "quadratic"}, True),  # 0.027
        ({"schedule": "linear", "base_steps": 10, "sampling_steps": 5}, True),  # 0.95
        ({"schedule": "quadratic", "zero_terminal_snr": False}, False),
        ({"schedule": "linear", "zero_terminal_snr": True}, True),
    ],
)
def test_a_schedule_that_would_end_above_pure_noise_is_rescaled(settings: dict[str, Any], rescaled: bool) -> None:
    assert (alpha_bar(DiffusionPlan.model_validate(settings))[-1] == 0) == rescaled


def test_pure_noise_stays_pure_under_a_shift_and_has_the_lowest_level() -> None:
    last = alpha_bar(DiffusionPlan(zero_terminal_snr=True, log_snr_shift=3.0))[-1:]
    assert last.item() == 0
    assert level(last).item() == -20


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_falls_from_nearly_one_to_nearly_zero(schedule: str) -> None:
    values = alpha_bar(DiffusionPlan.model_validate({"schedule": schedule}))
    assert values.dtype == torch.float64
    assert values[0] > 0.999
    assert values[-1] < 1e-3
    assert (values.diff() < 0).all()


def test_the_cosine_schedule_is_the_published_one_not_the_reference_one() -> None:
    values = alpha_bar(DiffusionPlan(schedule="cosine", base_steps=1000))
    expected = math.cos((0.5 + 0.008) / 1.008 * math.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert values[499].item() == pytest.approx(expected, rel=1e-9)


def test_a_shift_moves_the_level_of_every_step_alike() -> None:
    plain, shifted = (level(alpha_bar(DiffusionPlan(log_snr_shift=shift))) for shift in (0.0, -2.0))
    torch.testing.assert_close(shifted, plain - 2)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("shift", [-50.0, 0.0, 15.0])
def test_the_steps_of_a_schedule_are_apart(schedule: str, shift: float) -> None:
    plan = DiffusionPlan.model_validate({"schedule": schedule, "log_snr_shift": shift})
    require_apart(alpha_bar(plan), plan, plan_name="cpu")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"log_snr_shift": 40.0}, "log_snr_shift 40: base step 0 is no noisier than the clean mask"),  # ᾱ = 1
        ({"log_snr_shift": -800.0}, r"log_snr_shift -800: base step \d+ is no noisier than step \d+"),  # ᾱ = 0
        ({"beta_start": 1e-17}, "beta_start 1e-17: base step 0 is no noisier than the clean mask"),
    ],
)
def test_steps_that_numbers_cannot_tell_apart_are_refused(settings: dict[str, float], told: str) -> None:
    plan = DiffusionPlan.model_validate(settings)
    with pytest.raises(UserError, match=f"Plan 'cpu' with {told} in double precision; choose a"):
        require_apart(alpha_bar(plan), plan, plan_name="cpu")


def test_levels_are_clipped() -> None:
    assert level(torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)).tolist() == [20.0, 0.0, -20.0]


def test_trailing_steps_by_hand() -> None:
    assert respaced_steps(1000, 5, "trailing").tolist() == [199, 399, 599, 799, 999]
    assert respaced_steps(1001, 5, "trailing").tolist() == [199, 399, 600, 800, 1000]
    assert respaced_steps(1001, 1, "trailing").tolist() == [1000]


@given(st.integers(1, 1200), st.integers(1, 1200))
def test_trailing_visits_distinct_rising_steps_and_ends_at_the_last(base: int, steps: int) -> None:
    if steps > base:
        with pytest.raises(UserError, match="base steps"):
            respaced_steps(base, steps, "trailing")
        return
    visited = respaced_steps(base, steps, "trailing")
    assert len(visited) == steps
    assert visited[-1] == base - 1
    assert visited[0] >= 0
    assert (visited.diff() > 0).all()


def test_endpoints_must_come_out_even() -> None:
    assert respaced_steps(1001, 5, "endpoints").tolist() == [0, 250, 500, 750, 1000]
    for steps in (1, 4):
        with pytest.raises(UserError, match="trailing"):
            respaced_steps(1001, steps, "endpoints")
