"""Loss-aware steps: an expectation that stays that of uniform drawing, and a history that survives interruption."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autodiffseg.trainers.checkpoints import LAST
from autodiffseg.trainers.loop import Loop
from autodiffseg.trainers.timestep_sampling import LossAwareSteps, uniform_steps
from autodiffseg.trainers.training_memory import bare_loop

Make = Callable[..., Any]
SETTINGS = ("timestep_sampling=loss-aware", "training_steps=5")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def taught(steps: int, rise: float = 9.0) -> LossAwareSteps:
    """A history in which the last group's loss is 1 + rise times the first's."""
    sampler = LossAwareSteps(torch.arange(steps))
    groups = len(sampler.size)
    for _ in range(10):
        sampler.learn(torch.arange(groups), 1 + rise * torch.arange(groups) / max(groups - 1, 1))
    return sampler


@pytest.mark.parametrize("steps", [5, 20, 23, 1001])
def test_the_weighted_mean_is_the_uniform_mean_in_expectation(steps: int) -> None:
    """Exactly, by summing over all steps, and by drawing."""
    sampler = taught(steps)
    value = torch.sin(torch.arange(steps) / steps * 7) + 2  # any loss by step
    per_step = (sampler.probabilities() / sampler.size).repeat_interleave(sampler.size).double()
    weight = 1 / (steps * per_step)
    assert (per_step * weight * value).sum().item() == pytest.approx(value.mean().item(), rel=1e-5)
    t, weights, _ = sampler.draw(200_000, rng())
    torch.testing.assert_close(weights.double(), weight[t], rtol=1e-4, atol=0)
    assert (weights * value[t]).mean().item() == pytest.approx(value.mean().item(), rel=0.01)


@pytest.mark.parametrize("steps", [5, 23, 1001])
def test_steps_are_drawn_as_often_as_the_root_of_their_squared_loss_says(steps: int) -> None:
    sampler = taught(steps)
    expected = (sampler.probabilities() / sampler.size).repeat_interleave(sampler.size)
    t, _, _ = sampler.draw(400_000, rng())
    counts = torch.bincount(t, minlength=steps) / 400_000
    assert (counts - expected).abs().max() < 5 * (expected.max() / 400_000) ** 0.5
    roots = sampler.squared.sqrt() * sampler.size
    torch.testing.assert_close(sampler.probabilities(), 0.99 * roots / roots.sum() + 0.01 * sampler.size / steps)


def test_until_every_group_is_known_steps_are_uniform() -> None:
    sampler = LossAwareSteps(torch.arange(5))
    for _ in range(10):
        sampler.learn(torch.arange(4), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    torch.testing.assert_close(sampler.probabilities(), torch.full((5,), 0.2))
    for _ in range(10):
        sampler.learn(torch.tensor([4]), torch.tensor([5.0]))
    torch.testing.assert_close(sampler.probabilities(), 0.99 * torch.arange(1, 6) / 15 + 0.002)


def test_the_history_is_a_running_mean_of_squares_that_passes_over_what_is_not_finite() -> None:
    sampler = LossAwareSteps(torch.arange(3))
    sampler.learn(torch.tensor([1, 1, 2]), torch.tensor([2.0, 4.0, torch.nan]))
    assert sampler.squared.tolist() == [0, 10, 0]
    assert sampler.seen.tolist() == [0, 2, 0]
    sampler.learn(torch.tensor([1, 0]), torch.tensor([1.0, torch.inf]))
    assert sampler.squared.tolist() == pytest.approx([0, 0.9 * 10 + 0.1, 0])


def test_a_history_of_zeros_and_one_of_nothing_are_uniform() -> None:
    sampler = LossAwareSteps(torch.arange(4))
    for _ in range(10):
        sampler.learn(torch.arange(4), torch.zeros(4))
    torch.testing.assert_close(sampler.probabilities(), torch.full((4,), 0.25))


def test_uniform_steps_are_uniform() -> None:
    steps = torch.tensor([3, 5, 9])
    drawn = uniform_steps(steps, 30_000, rng())
    for step in steps:
        assert (drawn == step).float().mean().item() == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("name", ["diffusion", "recycling", "recycling-next", "self-conditioning-same"])
@pytest.mark.parametrize("deep_supervision", [False, True])
def test_the_loss_of_a_batch_is_the_weighted_mean_of_its_samples(
    make_trainer: Make, make_batch: Make, name: str, deep_supervision: bool
) -> None:
    """At first all weights are one, and the plan takes Dice per sample, so it is the ordinary loss."""
    batch = make_batch()
    batch.label.clamp_(min=0)  # as many known voxels in every sample
    aware = make_trainer(name, settings=SETTINGS, deep_supervision=deep_supervision)
    made: list[Any] = []
    first_pass = aware.noised_mask
    aware.noised_mask = lambda *args: made.append(first_pass(*args)) or made[-1]
    loss = aware.loss(batch, rng())
    usual = make_trainer(name, settings=SETTINGS[1:], deep_supervision=deep_supervision)
    usual.noised_mask = lambda *args: made[0]
    wanted = usual.loss(batch, rng())
    torch.testing.assert_close(loss.total, wanted.total)
    torch.testing.assert_close(loss.parts, wanted.parts)
    aware.loss_aware.draw = lambda count, rng: (
        torch.tensor([199, 199]),
        torch.tensor([3.0, 3.0]),
        torch.tensor([0, 0]),
    )
    aware.noised_mask = lambda *args: made[0]
    torch.testing.assert_close(aware.loss(batch, rng()).total, 3 * wanted.total)


def test_samples_that_were_moved_to_pure_noise_teach_nothing_about_their_step(
    make_trainer: Make, make_batch: Make
) -> None:
    trainer = make_trainer("recycling", settings=(*SETTINGS, "pure_noise_share=1"))
    for seed in range(20):
        trainer.loss(make_batch(), rng(seed))
    assert trainer.loss_aware.seen[:-1].tolist() == [0, 0, 0, 0]


def train(trainer: Any, batch: Any, loop: Loop, updates: int) -> None:
    for _ in range(updates):
        loop.step(batch)
        loop.update += 1


def test_a_resumed_training_is_the_uninterrupted_one(make_trainer: Make, make_batch: Make, tmp_path: Path) -> None:
    whole, first, second = (make_trainer("recycling", settings=SETTINGS) for _ in range(3))
    loops = [bare_loop(trainer) for trainer in (whole, first, second)]
    for loop in loops:
        loop.folder = tmp_path
        loop.record = loop.record.model_copy(update={"trainer": "recycling"})
    train(whole, make_batch(), loops[0], 60)
    train(first, make_batch(), loops[1], 40)
    loops[1]._save(LAST)
    loops[2].resume()
    train(second, make_batch(), loops[2], 20)
    assert whole.loss_aware.probabilities().std() > 0  # the history had a say
    assert torch.equal(whole.loss_aware.squared, second.loss_aware.squared)
    ours, theirs = whole.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_its_memory_can_be_counted(make_trainer: Make) -> None:
    from autodiffseg.trainers.training_memory import training_memory

    trainer = make_trainer("recycling", settings=SETTINGS)
    counted = training_memory(type(trainer), trainer.plan, "patches", trainer.dataset, trainer.options)
    assert counted.peak > 0


def test_groups_cover_every_step_once() -> None:
    for steps in (1, 5, 19, 20, 21, 1001):
        sampler = LossAwareSteps(torch.arange(steps))
        covered: list[Tensor] = [
            torch.arange(first, first + size)
            for first, size in zip(sampler.first.tolist(), sampler.size.tolist(), strict=True)
        ]
        assert torch.cat(covered).tolist() == list(range(steps))
        assert sampler.size.min() > 0
