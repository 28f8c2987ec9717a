"""Predicted noise as a mask: the inverse of noising, clipped, and probabilities for classes and regions alike."""

from __future__ import annotations

import pytest
import torch

from autodiffseg.diffusion.parametrisation import FLOOR, mask_logits, noise_from_x0, x0_from_noise
from autodiffseg.diffusion.process import noised, x0_of
from autodiffseg.diffusion.respacing import respaced_steps
from autodiffseg.diffusion.schedule import alpha_bar
from autodiffseg.losses.segmentation import probabilities_of
from autodiffseg.plans import DiffusionPlan

BARS = alpha_bar(DiffusionPlan())[respaced_steps(1001, 6, "trailing")]  # the last has √ᾱ = 0.006
A_QUARTER = torch.tensor([0.25], dtype=torch.float64)


def test_noise_and_mask_follow_from_each_other_at_every_step() -> None:
    x0, noise = torch.randn(2, 6, 3, 50, generator=torch.Generator().manual_seed(0))
    x_t = noised(x0, BARS, noise)
    torch.testing.assert_close(noise_from_x0(x_t, x0, BARS), noise, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(x0_from_noise(x_t, noise, BARS), x0, rtol=1e-4, atol=1e-4)


def test_a_network_that_predicts_the_mask_is_taken_at_its_word() -> None:
    logits = torch.randn(1, 3, 5)
    assert mask_logits(logits, logits, A_QUARTER, prediction="x0", regions=False) is logits


def test_predicted_noise_as_probabilities_by_hand() -> None:
    """√ᾱ = 1/2: x0 = 2·x_t at noise 0, so 0.2, -0.4, -1.6 and 1.8, the last two clipped; p = 0.6, 0.3, 0 and 1."""
    x_t = torch.tensor([0.1, -0.2, -0.8, 0.9]).reshape(1, 4, 1)
    logits = mask_logits(torch.zeros(1, 4, 1), x_t, A_QUARTER, prediction="noise", regions=False)
    wanted = [6 / 19, 3 / 19, 0, 10 / 19]
    assert probabilities_of(logits, regions=False).flatten().tolist() == pytest.approx(wanted, abs=2e-5)
    logits = mask_logits(torch.zeros(1, 4, 1), x_t, A_QUARTER, prediction="noise", regions=True)
    wanted = [0.6, 0.3, FLOOR, 1 - FLOOR]
    assert probabilities_of(logits, regions=True).flatten().tolist() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("regions", [False, True])
def test_the_true_noise_gives_the_true_mask_and_any_noise_a_finite_one(regions: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    mask = torch.nn.functional.one_hot(torch.randint(3, (6, 50), generator=rng), 3).movedim(-1, 1).float()
    noise = torch.randn(mask.shape, generator=rng)
    x_t = noised(x0_of(mask), BARS, noise)
    for predicted in (noise, 1e4 * noise):
        output = predicted.requires_grad_()
        logits = mask_logits(output, x_t, BARS, prediction="noise", regions=regions)
        (gradient,) = torch.autograd.grad(logits.sum(), output)
        assert logits.isfinite().all()
        assert gradient.isfinite().all()
        if predicted is noise:
            torch.testing.assert_close(probabilities_of(logits, regions=regions), mask, rtol=0, atol=1e-4)


def test_half_precision_is_left_before_the_mask_is_made() -> None:
    noise = torch.full((1, 2, 4), 0.7, dtype=torch.bfloat16)
    logits = mask_logits(noise, torch.ones(1, 2, 4), A_QUARTER, prediction="noise", regions=True)
    assert logits.dtype == torch.float32
