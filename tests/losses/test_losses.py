"""Losses: hand-computed numbers, masking, and finiteness where nothing is there."""

from __future__ import annotations

import math

import pytest
import torch

from autodiffseg.losses.cross_entropy import cross_entropy
from autodiffseg.losses.dice import dice_loss
from autodiffseg.losses.focal import focal_loss
from autodiffseg.losses.resolutions import deep_supervision_weights
from autodiffseg.losses.segmentation import probabilities_of, segmentation_loss
from autodiffseg.losses.squared_error import squared_error

KNOWN = torch.ones(1, 1, 4, dtype=torch.bool)


def channels(*values: float) -> torch.Tensor:
    """One sample, one channel, four voxels."""
    return torch.tensor(values).reshape(1, 1, 4)


def test_dice_loss_by_hand() -> None:
    # overlap 0.5 + 1, sizes 2 + 2: Dice 3/4
    loss = dice_loss(channels(0.5, 1, 0.5, 0), channels(1, 1, 0, 0), KNOWN, batch_dice=False)
    assert loss.item() == pytest.approx(0.25, abs=1e-4)


def test_batch_dice_adds_before_dividing() -> None:
    probabilities = torch.cat([channels(1, 0, 0, 0), channels(0, 0, 0, 0)])
    target = torch.cat([channels(1, 0, 0, 0), channels(1, 1, 1, 0)])
    known = torch.cat([KNOWN, KNOWN])
    assert dice_loss(probabilities, target, known, batch_dice=True).item() == pytest.approx(1 - 2 / 5, abs=1e-4)
    assert dice_loss(probabilities, target, known, batch_dice=False).item() == pytest.approx(0.5, abs=1e-4)


def test_a_class_rightly_absent_costs_nothing_and_has_a_finite_gradient() -> None:
    probabilities = channels(0.0, 0.0, 0.0, 0.0).requires_grad_()
    loss = dice_loss(probabilities, channels(0, 0, 0, 0), KNOWN, batch_dice=False)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert probabilities.grad is not None
    assert torch.isfinite(probabilities.grad).all()


def test_cross_entropy_by_hand() -> None:
    logits = torch.log(torch.tensor([0.2, 0.8])).reshape(1, 2, 1)
    target = torch.tensor([0.0, 1.0]).reshape(1, 2, 1)
    assert cross_entropy(logits, target, KNOWN[..., :1], regions=False).item() == pytest.approx(-math.log(0.8))
    regions = cross_entropy(torch.zeros(1, 2, 1), target, KNOWN[..., :1], regions=True)
    assert regions.item() == pytest.approx(math.log(2))


def test_focal_loss_by_hand() -> None:
    logits = torch.log(torch.tensor([0.2, 0.8])).reshape(1, 2, 1)
    target = torch.tensor([0.0, 1.0]).reshape(1, 2, 1)
    assert focal_loss(logits, target, KNOWN[..., :1], regions=False).item() == pytest.approx(-0.04 * math.log(0.8))
    assert focal_loss(logits, 1 - target, KNOWN[..., :1], regions=False).item() == pytest.approx(-0.64 * math.log(0.2))
    # Two regions at 1/2: each (1/2)² of log 2.
    regions = focal_loss(torch.zeros(1, 2, 1), target, KNOWN[..., :1], regions=True)
    assert regions.item() == pytest.approx(0.25 * math.log(2))


def test_squared_error_by_hand() -> None:
    # Off by 0.5 in one of four voxels: (2·0.5)²/4
    assert squared_error(channels(1, 0.5, 0, 0), channels(1, 1, 0, 0), KNOWN).item() == pytest.approx(0.25)


def test_every_part_counts_by_its_weight() -> None:
    torch.manual_seed(0)
    logits, known = torch.randn(2, 3, 4, 4), torch.ones(2, 1, 4, 4, dtype=torch.bool)
    target = torch.nn.functional.one_hot(torch.randint(3, (2, 4, 4)), 3).movedim(-1, 1).float()
    names = ("dice_weight", "cross_entropy_weight", "focal_weight", "mse_weight")

    def loss(**weights: float) -> float:
        chosen = dict.fromkeys(names, 0.0) | weights
        return segmentation_loss(logits, target, known, regions=False, batch_dice=False, **chosen).total.item()

    alone = [loss(**{name: 1.0}) for name in names]
    assert min(alone) > 0
    assert loss(**dict(zip(names, (1.0, 2.0, 3.0, 4.0), strict=True))) == pytest.approx(
        sum(weight * part for weight, part in zip((1, 2, 3, 4), alone, strict=True)), rel=1e-5
    )
    assert alone[2] == pytest.approx(focal_loss(logits, target, known, regions=False).item())
    assert alone[3] == pytest.approx(squared_error(logits.softmax(1), target, known).item())


ALL_PARTS = {"focal_weight": 1.0, "mse_weight": 1.0}


@pytest.mark.parametrize("regions", [False, True])
def test_unknown_voxels_change_neither_loss_nor_gradient(regions: bool) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 6, 6, requires_grad=True)
    target = torch.nn.functional.one_hot(torch.randint(3, (2, 6, 6)), 3).movedim(-1, 1).float()
    known = torch.ones(2, 1, 6, 6, dtype=torch.bool)
    known[..., :2] = False
    first = segmentation_loss(logits, target * known, known, regions=regions, batch_dice=False, **ALL_PARTS).total
    (gradient,) = torch.autograd.grad(first, logits)
    assert gradient[..., :2].abs().max() == 0
    assert gradient[..., 2:].abs().min() > 0
    changed = torch.where(known, logits, torch.randn_like(logits))
    again = segmentation_loss(changed, target * known, known, regions=regions, batch_dice=False, **ALL_PARTS).total
    assert again.item() == pytest.approx(first.item(), rel=1e-6)


@pytest.mark.parametrize("regions", [False, True])
def test_a_batch_without_foreground_or_without_any_known_voxel_is_finite(regions: bool) -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    target = torch.zeros(2, 3, 4, 4)
    target[:, 0] = 0 if regions else 1
    for known in (torch.ones(2, 1, 4, 4, dtype=torch.bool), torch.zeros(2, 1, 4, 4, dtype=torch.bool)):
        loss = segmentation_loss(logits, target * known, known, regions=regions, batch_dice=True, **ALL_PARTS).total
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_the_right_answer_costs_less_than_a_wrong_one() -> None:
    target = torch.nn.functional.one_hot(torch.randint(3, (1, 8, 8)), 3).movedim(-1, 1).float()
    known = torch.ones(1, 1, 8, 8, dtype=torch.bool)

    def cost(logits: torch.Tensor) -> float:
        return segmentation_loss(logits, target, known, regions=False, batch_dice=False).total.item()

    assert cost(10 * target) < cost(target) < cost(0 * target) < cost(-10 * target)


def test_deep_supervision_weighs_finer_levels_more_and_adds_up_to_one() -> None:
    assert deep_supervision_weights(1) == [1.0]
    assert deep_supervision_weights(3) == pytest.approx([4 / 7, 2 / 7, 1 / 7])


def test_the_same_logits_at_all_levels_cost_the_same_as_at_one() -> None:
    logits = torch.randn(1, 3, 1, 1).expand(1, 3, 4, 4)
    target = torch.zeros(1, 3, 4, 4)
    target[:, 1] = 1
    known = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    one = segmentation_loss(logits, target, known, regions=False, batch_dice=False).total
    two = segmentation_loss([logits, logits[..., ::2, ::2]], target, known, regions=False, batch_dice=False).total
    assert two.item() == pytest.approx(one.item(), rel=1e-4)


def test_probabilities_are_float32_whatever_the_logits() -> None:
    logits = torch.randn(1, 3, 2, dtype=torch.bfloat16)
    assert probabilities_of(logits, regions=False).dtype == torch.float32
    torch.testing.assert_close(probabilities_of(logits, regions=False).sum(1), torch.ones(1, 2))
    assert probabilities_of(logits, regions=True)[0, 0, 0].item() == pytest.approx(
        logits[0, 0, 0].sigmoid().item(), rel=1e-2
    )
