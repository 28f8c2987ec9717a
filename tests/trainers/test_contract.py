"""What every trainer promises; a new trainer is checked here by being announced."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autodiffseg import registry
from autodiffseg.dataloading.batches import Batch
from autodiffseg.sampling import Sampling
from autodiffseg.trainers.base import Trainer
from autodiffseg.trainers.checkpoints import load_trainer, save_checkpoint
from autodiffseg.trainers.optimisation import make_optimiser

TRAINERS = sorted(registry.known(registry.TRAINERS))
DIFFUSION = [name for name in TRAINERS if name != "supervised"]
Make = Callable[..., Any]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(step: int, channels: int, dimensions: int = 3) -> Tensor:
    return torch.randn(2, channels, *(8,) * dimensions, generator=rng(step))


def gradients(trainer: Trainer, batch: Batch) -> dict[str, Tensor]:
    trainer.network.zero_grad()
    trainer.loss(batch, rng()).total.backward()
    return {name: p.grad.clone() for name, p in trainer.network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("deep_supervision", [False, True])
def test_no_parameter_is_left_without_gradient(
    make_trainer: Make, make_batch: Make, name: str, precision: str, deep_supervision: bool
) -> None:
    trainer = make_trainer(name, precision=precision, deep_supervision=deep_supervision)
    found = gradients(trainer, make_batch())
    assert set(found) == {parameter for parameter, _ in trainer.network.named_parameters()}
    assert [parameter for parameter, gradient in found.items() if not gradient.abs().sum() > 0] == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_gradient_is_that_of_the_second_pass_alone(make_trainer: Make, make_batch: Make, precision: str) -> None:
    trainer, batch = make_trainer("recycling", precision=precision), make_batch()
    ordinary = gradients(trainer, batch)
    made: list[tuple[Tensor, Tensor]] = []
    first_pass = trainer.noised_mask

    def record(*args: Any) -> tuple[Tensor, Tensor]:
        made.append(first_pass(*args))
        return made[-1]

    trainer.noised_mask = record
    trainer.loss(batch, rng())
    trainer.noised_mask = lambda *args: made[0]
    torch.clear_autocast_cache()
    constant = gradients(trainer, batch)
    assert set(ordinary) == set(constant)
    for name, gradient in ordinary.items():
        torch.testing.assert_close(gradient, constant[name], rtol=0, atol=0, msg=name)


def test_recycling_shows_the_label_to_no_network_input(make_trainer: Make, make_batch: Make) -> None:
    trainer, batch = make_trainer("recycling"), make_batch()
    inputs: list[tuple[Tensor, ...]] = []
    trainer.network.register_forward_pre_hook(lambda module, args: inputs.append(args))
    trainer.loss(batch, rng())
    trainer.loss(batch._replace(label=(2 - batch.label.clamp(min=0)).short()), rng())
    for before, after in zip(*inputs, strict=True):
        assert torch.equal(before, after)


def test_standard_diffusion_does_show_the_label(make_trainer: Make, make_batch: Make) -> None:
    trainer, batch = make_trainer("diffusion"), make_batch()
    inputs: list[tuple[Tensor, ...]] = []
    trainer.network.register_forward_pre_hook(lambda module, args: inputs.append(args))
    trainer.loss(batch, rng())
    trainer.loss(batch._replace(label=(2 - batch.label.clamp(min=0)).short()), rng())
    assert not torch.equal(inputs[0][1], inputs[1][1])


def test_pure_noise_is_always_told_the_level_of_the_last_step(make_trainer: Make, make_batch: Make) -> None:
    trainer = make_trainer("recycling", settings=("pure_noise_share=1",))
    told: list[float] = []
    embedding = trainer.network.embedding
    embedding.register_forward_pre_hook(lambda module, args: told.extend(args[0].tolist()))
    trainer.loss(make_batch(), rng())
    next(iter(trainer.predict_steps(make_batch().image, noise, Sampling(steps=3))))
    last = math.log(trainer.alpha_bar[-1].item() / (1 - trainer.alpha_bar[-1].item()))
    assert told == pytest.approx([last] * 6, rel=1e-5)


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_predictions_are_probabilities_on_the_patch(
    make_trainer: Make, make_batch: Make, name: str, regions: bool, dimensions: int
) -> None:
    trainer = make_trainer(name, regions=regions, dimensions=dimensions)
    image = make_batch(dimensions).image
    steps = list(
        trainer.predict_steps(image, lambda step, channels: noise(step, channels, dimensions), Sampling(steps=3))
    )
    assert len(steps) == (1 if name == "supervised" else 3)
    for step in steps:
        assert step.shape == (2, 2 if regions else 3, *image.shape[2:])
        assert step.dtype == torch.float32
        assert step.min() >= 0
        assert step.max() <= 1
    if not regions:
        torch.testing.assert_close(steps[-1].sum(1), torch.ones_like(steps[-1][:, 0]))


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_sixty_updates_on_one_batch_lower_the_loss(
    make_trainer: Make, make_batch: Make, name: str, dimensions: int
) -> None:
    trainer, batch = make_trainer(name, dimensions=dimensions, settings=("learning_rate=0.01",)), make_batch(dimensions)
    optimiser = make_optimiser(trainer.network, trainer.options)
    losses = []
    for update in range(60):
        loss = trainer.loss(batch, rng(update)).total
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


@pytest.mark.parametrize("name", DIFFUSION)
def test_the_output_depends_on_the_level_after_training(make_trainer: Make, make_batch: Make, name: str) -> None:
    trainer, batch = make_trainer(name), make_batch()
    optimiser = make_optimiser(trainer.network, trainer.options)
    for update in range(100):
        optimiser.zero_grad()
        trainer.loss(batch, rng(update)).total.backward()
        optimiser.step()
    mask = torch.rand(2, 3, 8, 8, 8)
    low, high = (trainer.probabilities(batch.image, mask, torch.full((2,), level)) for level in (-8.0, 8.0))
    assert (low - high).abs().max() > 1e-3


def test_without_conditioning_the_network_has_no_level_layers(make_trainer: Make, make_batch: Make) -> None:
    trainer = make_trainer("recycling", settings=("level_conditioning=none",))
    assert not [name for name, _ in trainer.network.named_parameters() if "film" in name or "embedding" in name]
    assert torch.isfinite(trainer.loss(make_batch(), rng()).total)


@pytest.mark.parametrize("name", TRAINERS)
def test_a_loaded_checkpoint_predicts_the_same(make_trainer: Make, make_batch: Make, tmp_path: Path, name: str) -> None:
    trainer, image = make_trainer(name), make_batch().image
    trainer.network.eval()
    save_checkpoint(tmp_path / "c.pt", trainer, name)
    loaded = load_trainer(tmp_path / "c.pt", torch.device("cpu"), "fp32")
    assert loaded.plan == trainer.plan
    assert loaded.options == trainer.options
    for ours, theirs in zip(
        trainer.predict_steps(image, noise, Sampling()), loaded.predict_steps(image, noise, Sampling()), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("regions", [False, True])
def test_batches_without_foreground_or_without_labels_are_finite(
    make_trainer: Make, make_batch: Make, name: str, regions: bool
) -> None:
    trainer, batch = make_trainer(name, regions=regions), make_batch()
    for value in (0, -2):
        loss = trainer.loss(batch._replace(label=torch.full_like(batch.label, value)), rng()).total
        loss.backward()
        assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in trainer.network.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", TRAINERS)
def test_hidden_labels_change_nothing(make_trainer: Make, make_batch: Make, name: str) -> None:
    trainer, batch = make_trainer(name), make_batch()
    visible = trainer.loss(batch, rng()).total
    trainer.dataset = trainer.dataset.model_copy(update={"labels": {**trainer.dataset.labels, "ignore": 3}})
    trainer.spec = trainer.dataset.spec
    ignored = batch.label.clone()
    ignored[:, :2] = 3
    assert torch.equal(trainer.loss(batch._replace(label=ignored), rng()).total, visible)


def test_the_supervised_trainer_ignores_the_sampling(make_trainer: Make, make_batch: Make) -> None:
    trainer = make_trainer("supervised")
    assert len(list(trainer.predict_steps(make_batch().image, noise, Sampling(steps=9)))) == 1
