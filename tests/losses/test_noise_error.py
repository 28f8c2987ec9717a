"""The squared error of predicted noise: by hand, in terms of the mask, and where nothing is known."""

from __future__ import annotations

import pytest
import torch

from autodiffseg.diffusion.parametrisation import noise_from_x0, x0_from_noise
from autodiffseg.diffusion.process import noised, x0_of
from autodiffseg.losses.noise_error import noise_error

RNG = torch.Generator().manual_seed(0)
TARGET = torch.randint(2, (1, 2, 6), generator=RNG).float()
NOISE, PREDICTED = torch.randn(2, 1, 2, 6, generator=RNG)
KNOWN = torch.ones(1, 1, 6, dtype=torch.bool)


def bars(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def test_of_a_noised_label_it_is_the_mean_squared_error_of_its_noise() -> None:
    x_t = noised(x0_of(TARGET), bars(0.3), NOISE)
    wanted = (PREDICTED - NOISE).square().mean().item()
    assert noise_error(PREDICTED, x_t, TARGET, KNOWN, alpha_bar_t=bars(0.3)).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("bar", "most"), [(0.5, 1.0), (0.9, 5.0), (0.9999, 5.0)])
def test_of_any_x_t_it_is_the_error_of_the_mask_by_the_signal_to_noise_ratio_up_to_five(
    bar: float, most: float
) -> None:
    x_t = torch.randn(1, 2, 6, generator=RNG)  # of no label at all
    x0 = x0_from_noise(x_t, PREDICTED, bars(bar))
    wanted = most * (x0 - x0_of(TARGET)).square().mean().item()
    assert noise_error(PREDICTED, x_t, TARGET, KNOWN, alpha_bar_t=bars(bar)).item() == pytest.approx(wanted, rel=1e-3)
    right = noise_from_x0(x_t, x0_of(TARGET), bars(bar))
    assert noise_error(right, x_t, TARGET, KNOWN, alpha_bar_t=bars(bar)).item() == 0


def test_unknown_voxels_do_not_count_and_none_at_all_cost_nothing() -> None:
    x_t = noised(x0_of(TARGET), bars(0.3), NOISE)
    known = KNOWN.clone()
    known[..., :2] = False
    wanted = (PREDICTED - NOISE)[..., 2:].square().mean().item()
    assert noise_error(PREDICTED, x_t, TARGET, known, alpha_bar_t=bars(0.3)).item() == pytest.approx(wanted, rel=1e-5)
    assert noise_error(PREDICTED, x_t, TARGET, ~KNOWN, alpha_bar_t=bars(0.3)).item() == 0
