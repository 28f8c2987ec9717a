"""What tells the diffusion trainers apart: where the noised mask of training comes from, and its distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autodiffseg.dataloading.batches import Batch
from autodiffseg.diffusion.respacing import respaced_steps
from autodiffseg.diffusion.samplers import ddpm_step, ddpm_steps
from autodiffseg.errors import UserError
from autodiffseg.sampling import Sampling

Make = Callable[..., Any]
SELF_CONDITIONING = ["self-conditioning-same", "self-conditioning-next"]
FAMILY = ["diffusion", "recycling", "recycling-next", *SELF_CONDITIONING]
VISITED = [199, 399, 600, 800, 1000]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(step: int, channels: int) -> Tensor:
    return torch.randn(2, channels, 8, 8, 8, generator=rng(step))


def watched(trainer: Any) -> list[tuple[Tensor, Tensor]]:
    """A list that gets what the network is shown, (x_t and more, ᾱ_t), at every call from now on."""
    shown: list[tuple[Tensor, Tensor]] = []
    mask_input = trainer.mask_input

    def record(x_t: Tensor, alpha_bar_t: Tensor) -> Any:
        shown.append((x_t, alpha_bar_t))
        return mask_input(x_t, alpha_bar_t)

    trainer.mask_input = record
    return shown


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("settings", [("training_steps=5",), ()])
def test_with_the_true_mask_predicted_every_x_t_has_the_mean_and_spread_of_its_step(
    make_trainer: Make, name: str, settings: tuple[str, ...]
) -> None:
    """Also where x_t is made by a step of sampling; with five steps its mean alone would have a tenth of the spread."""
    trainer = make_trainer(name, settings=(*settings, "log_snr_shift=0"))
    x0 = torch.ones(5, 3, 24, 24, 24)
    trainer.probabilities = lambda image, mask, level, network=None: torch.ones_like(x0)
    x_t, steps = trainer.noised_mask(x0[:, :1], x0, torch.tensor(VISITED), rng())
    for sample, step in zip(x_t[:, :3], steps, strict=True):
        bar = trainer.alpha_bar[step].item()
        assert sample.mean().item() == pytest.approx(math.sqrt(bar), abs=0.02)
        assert sample.std().item() == pytest.approx(math.sqrt(1 - bar), abs=0.02)


def test_steps_of_their_own_are_those_of_single_samples() -> None:
    x_t, x0, fresh = torch.randn(3, 3, 2, 4, 4, generator=rng())
    here, there = torch.tensor([[0.3, 0.001, 0.0], [0.8, 0.01, 0.5]], dtype=torch.float64)
    together = ddpm_steps(x_t, x0, here, there, fresh)
    assert together.dtype == torch.float32
    for i in range(3):
        alone = ddpm_step(x_t[i], x0[i], here[i].item(), there[i].item(), fresh[i])
        torch.testing.assert_close(together[i], alone)


@pytest.mark.parametrize(("settings", "steps"), [(("training_steps=5",), VISITED), (("training_steps=1",), [1000])])
@pytest.mark.parametrize("name", FAMILY)
def test_training_draws_its_steps_from_those_asked_for(
    make_trainer: Make, make_batch: Make, name: str, settings: tuple[str, ...], steps: list[int]
) -> None:
    trainer = make_trainer(name, settings=settings)
    shown = watched(trainer)
    for seed in range(20):
        trainer.loss(make_batch(), rng(seed))
    assert {bar for _, bars in shown for bar in bars.tolist()} == set(trainer.alpha_bar[steps].tolist())


def test_all_base_steps_are_trained_on_unless_fewer_are_asked_for(make_trainer: Make) -> None:
    assert make_trainer("diffusion").timesteps.tolist() == list(range(1001))
    five = make_trainer("diffusion", settings=("training_steps=5",)).timesteps
    assert five.tolist() == respaced_steps(1001, 5, "trailing").tolist() == VISITED


def test_more_training_steps_than_base_steps_are_refused_before_any_work(make_trainer: Make) -> None:
    with pytest.raises(UserError, match="1002 steps are not possible: choose between 1 and the 1001 base steps"):
        make_trainer("recycling", settings=("training_steps=1002",))


def test_the_following_step_is_the_next_noisier_one_and_the_last_has_none(make_trainer: Make) -> None:
    steps = torch.tensor([0, 199, 998, 1000])
    assert make_trainer("diffusion").following(steps).tolist() == [1, 200, 999, 1000]
    few = make_trainer("diffusion", settings=("training_steps=5",))
    assert few.following(torch.tensor(VISITED)).tolist() == [*VISITED[1:], 1000]


@pytest.mark.parametrize("name", ["recycling-next", "self-conditioning-next"])
def test_the_first_pass_sees_the_label_with_the_noise_of_the_following_step(
    make_trainer: Make, make_batch: Make, name: str
) -> None:
    trainer = make_trainer(name, settings=("training_steps=5",))
    shown = watched(trainer)
    for seed in range(10):
        trainer.loss(make_batch(), rng(seed))
    bars = trainer.alpha_bar[VISITED].tolist()
    for (_, first), (_, second) in zip(shown[::2], shown[1::2], strict=True):
        for before, after in zip(first.tolist(), second.tolist(), strict=True):
            assert bars.index(before) == min(bars.index(after) + 1, 4)


@pytest.mark.parametrize("name", ["recycling-next", "self-conditioning-next"])
def test_the_first_pass_sees_as_much_noise_as_it_is_told(make_trainer: Make, name: str) -> None:
    trainer = make_trainer(name, settings=("training_steps=5", "log_snr_shift=0"))
    shown = watched(trainer)
    x0 = torch.ones(5, 3, 24, 24, 24)
    trainer.noised_mask(x0[:, :1], x0, torch.tensor(VISITED), rng())
    for sample, bar in zip(shown[0][0][:, :3], shown[0][1].tolist(), strict=True):
        assert sample.mean().item() == pytest.approx(math.sqrt(bar), abs=0.02)
        assert sample.std().item() == pytest.approx(math.sqrt(1 - bar), abs=0.02)


def test_recycling_next_recycles_the_prediction_and_not_the_label(make_trainer: Make) -> None:
    trainer = make_trainer("recycling-next")
    x0 = torch.ones(1, 3, 8, 8, 8)
    trainer.probabilities = lambda image, mask, level, network=None: torch.zeros_like(x0)
    x_t, _ = trainer.noised_mask(x0[:, :1], x0, torch.tensor([0]), rng())
    assert x_t.mean().item() == pytest.approx(-1, abs=0.01)  # at the first step there is next to no noise


@pytest.mark.parametrize("name", SELF_CONDITIONING)
def test_a_share_of_the_samples_sees_the_first_answer_and_the_others_nothing(
    make_trainer: Make, make_batch: Make, name: str
) -> None:
    trainer, batch = make_trainer(name, settings=("self_conditioning_share=0.75",)), make_batch()
    answers: list[Tensor] = []
    first = trainer.probabilities
    trainer.probabilities = lambda *args, network: answers.append(first(*args)) or answers[-1]
    seen: list[Tensor] = []
    trainer.network.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    for seed in range(60):
        trainer.loss(batch, rng(seed))
    nothing = 0
    for answer, mask in zip(torch.cat(answers), torch.cat(seen), strict=True):
        without = not mask[3:].any()
        nothing += without
        assert without or torch.allclose(mask[3:], answer, atol=1e-6)
    assert nothing / 120 == pytest.approx(0.25, abs=0.12)


@pytest.mark.parametrize("name", SELF_CONDITIONING)
def test_the_first_pass_of_self_conditioning_sees_no_earlier_prediction(
    make_trainer: Make, make_batch: Make, name: str
) -> None:
    trainer = make_trainer(name)
    shown = watched(trainer)
    trainer.loss(make_batch(), rng())
    (first, first_bar), (second, second_bar) = shown
    assert (first[:, 3:] == -1).all()
    same = name == "self-conditioning-same"
    assert torch.equal(first[:, :3], second[:, :3]) == torch.equal(first_bar, second_bar) == same


@pytest.mark.parametrize("name", SELF_CONDITIONING)
@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_sampling_shows_the_network_its_answer_of_the_step_before(
    make_trainer: Make, make_batch: Make, name: str, sampler: str
) -> None:
    trainer, batch = make_trainer(name), make_batch()
    shown = watched(trainer)
    answers = list(trainer.predict_steps(batch.image, noise, Sampling(steps=4, sampler=sampler)))
    assert (shown[0][0][:, 3:] == -1).all()
    for (mask, _), answer in zip(shown[1:], answers[:-1], strict=True):
        torch.testing.assert_close(mask[:, 3:], 2 * answer - 1)


def test_two_samplings_do_not_remember_each_other(make_trainer: Make, make_batch: Make) -> None:
    trainer, batch = make_trainer("self-conditioning-same"), make_batch()
    once, again = (list(trainer.predict_steps(batch.image, noise, Sampling(steps=3))) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_self_conditioning_without_one_of_its_two_cases_is_refused(make_trainer: Make) -> None:
    for share in ("0", "1"):
        with pytest.raises(UserError, match=f"--set self_conditioning_share={share}"):
            make_trainer("self-conditioning-next", settings=(f"self_conditioning_share={share}",))


def test_the_last_step_of_a_schedule_that_ends_at_pure_noise_is_finite(make_trainer: Make, make_batch: Make) -> None:
    trainer = make_trainer("self-conditioning-next", settings=("training_steps=1",))
    trainer.alpha_bar = trainer.alpha_bar.clone()
    trainer.alpha_bar[-1] = 0
    batch: Batch = make_batch()
    assert torch.isfinite(trainer.loss(batch, rng()).total)
