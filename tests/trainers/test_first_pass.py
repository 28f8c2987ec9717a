"""Recycling's first pass: what it begins with, and with which weights it is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autodiffseg.errors import UserError
from autodiffseg.trainers.checkpoints import LAST
from autodiffseg.trainers.training_memory import bare_loop, training_memory

Make = Callable[..., Any]
AVERAGE = ("first_pass_weights=average", "average_decay=0.5")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(network: Any) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


@pytest.mark.parametrize("kind", ["noise", "noised-label"])
def test_the_first_pass_begins_with_pure_noise_or_with_the_label_at_the_last_step(
    make_trainer: Make, kind: str
) -> None:
    """Under a shift that leaves much of the label at the last step."""
    trainer = make_trainer("recycling", settings=(f"first_pass_input={kind}", "log_snr_shift=8"))
    x0 = torch.ones(1, 3, 24, 24, 24)
    seen: list[Tensor] = []
    shown = trainer.mask_input
    trainer.mask_input = lambda x_t, alpha_bar_t: seen.append(x_t) or shown(x_t, alpha_bar_t)
    trainer.noised_mask(x0[:, :1], x0, torch.tensor([500]), rng())
    last = trainer.alpha_bar[-1].item() if kind == "noised-label" else 0.0
    assert seen[0].mean().item() == pytest.approx(math.sqrt(last), abs=0.02)
    assert seen[0].std().item() == pytest.approx(math.sqrt(1 - last), abs=0.02)
    assert (last > 0.1) == (kind == "noised-label")


def test_a_share_of_the_samples_is_trained_on_pure_noise_at_the_last_step(make_trainer: Make) -> None:
    trainer = make_trainer("recycling", settings=("pure_noise_share=0.25",))
    x0, first = torch.ones(400, 3, 4, 4, 4), torch.zeros(400, dtype=torch.int64)
    trainer.probabilities = lambda image, mask, level, network=None: torch.ones_like(x0)
    x_t, t = trainer.noised_mask(x0[:, :1], x0, first, rng())
    pure = t == 1000
    assert (pure | (t == 0)).all()
    assert pure.float().mean().item() == pytest.approx(0.25, abs=0.07)
    assert x_t[pure].mean().item() == pytest.approx(0, abs=0.03)
    assert x_t[pure].std().item() == pytest.approx(1, abs=0.03)
    assert x_t[~pure].mean().item() == pytest.approx(1, abs=0.01)  # the prediction, with next to no noise


def test_the_average_follows_its_formula(make_trainer: Make, make_batch: Make) -> None:
    trainer = make_trainer("recycling", settings=AVERAGE)
    loop = bare_loop(trainer)
    expected = weights(trainer.network)
    for update in range(12):
        loop.step(make_batch())
        decay = min(0.5, (1 + update) / (10 + update))
        now = weights(trainer.network)
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, now, strict=True)]
    for ours, theirs in zip(weights(trainer.average.network), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_the_average_makes_the_first_pass_and_has_no_gradient(make_trainer: Make, make_batch: Make) -> None:
    trainer, batch = make_trainer("recycling", settings=AVERAGE), make_batch()
    x0, t = torch.zeros(2, 3, 8, 8, 8), torch.tensor([0, 0])
    before, _ = trainer.noised_mask(batch.image, x0, t, rng())
    with torch.no_grad():
        for parameter in trainer.network.parameters():
            parameter.add_(0.1)
    after, _ = trainer.noised_mask(batch.image, x0, t, rng())
    assert torch.equal(before, after)  # the average has not been told
    trainer.after_update()
    told, _ = trainer.noised_mask(batch.image, x0, t, rng())
    assert not torch.equal(after, told)
    trainer.loss(batch, rng()).total.backward()
    assert all(p.grad is None and not p.requires_grad for p in trainer.average.network.parameters())


def test_without_an_average_none_is_made(make_trainer: Make) -> None:
    trainer = make_trainer("recycling")
    trainer.after_update()
    assert trainer.average is None
    assert trainer.state() == {}


def test_a_resumed_training_has_the_average_of_the_uninterrupted_one(
    make_trainer: Make, make_batch: Make, tmp_path: Path
) -> None:
    whole, first, second = (
        make_trainer("recycling", settings=(*AVERAGE, "timestep_sampling=loss-aware")) for _ in "abc"
    )
    loops = [bare_loop(trainer) for trainer in (whole, first, second)]
    for loop, updates in zip(loops, (8, 5, 3), strict=True):
        loop.folder = tmp_path
        if loop is loops[2]:
            loops[1]._save(LAST)
            loop.resume()
        for _ in range(updates):
            loop.step(make_batch())
            loop.update += 1
    for ours, theirs in ((whole.network, second.network), (whole.average.network, second.average.network)):
        assert all(torch.equal(a, b) for a, b in zip(weights(ours), weights(theirs), strict=True))


def test_the_average_counts_as_one_more_set_of_weights(make_trainer: Make) -> None:
    trainer = make_trainer("recycling")

    def counted(*settings: str) -> Any:
        options = make_trainer("recycling", settings=settings).options
        return training_memory(type(trainer), trainer.plan, "patches", trainer.dataset, options, block=1)

    plain, averaged = counted(), counted(*AVERAGE)
    numbers = sum(p.numel() for p in trainer.network.parameters())
    assert averaged.parameters - plain.parameters == pytest.approx(4 * numbers, rel=0.02)
    assert averaged.peak - plain.peak >= 4 * numbers


def test_a_decay_of_one_would_never_learn_and_is_refused(make_trainer: Make) -> None:
    with pytest.raises(UserError, match="--set average_decay=1"):
        make_trainer("recycling", settings=("average_decay=1",))
