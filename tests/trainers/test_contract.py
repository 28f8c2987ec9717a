"""What every trainer promises; a new trainer is checked here by being announced."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autodiffseg import registry
from autodiffseg.dataloading.batches import Batch
from autodiffseg.diffusion.schedule import alpha_bar
from autodiffseg.sampling import Sampling
from autodiffseg.trainers.backbone import USUAL_NOISE
from autodiffseg.trainers.base import Trainer
from autodiffseg.trainers.checkpoints import load_trainer, read_checkpoint, save_checkpoint, trainer_class
from autodiffseg.trainers.optimisation import make_optimiser
from autodiffseg.trainers.training_memory import training_memory

TRAINERS = sorted(registry.known(registry.TRAINERS))
# A trainer without a noised mask has no first pass and no noise level: what is said of them is void for it.
DIFFUSION = [name for name in TRAINERS if hasattr(trainer_class(name), "noised_mask")]
# Of trainers that sample nothing: what `predict_steps` gives, and the network calls behind it.
ONE_BY_ONE = {
    "supervised": (1, 1),
    "finetune-ddpm": (1, 1),
    "tedm": (8, 8),
    "ledm": (1, 3),
    "ledme": (1, 8),
    "linear-probe": (1, 1),
}
READ_OUTS = [name for name in TRAINERS if hasattr(trainer_class(name), "groups")]
Make = Callable[..., Any]

needs_gpu = pytest.mark.gpu
no_bf16 = torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False)
PLACES = [
    ("cpu", "fp32"),
    ("cpu", "bf16"),
    pytest.param("cuda", "fp32", marks=needs_gpu),
    pytest.param("cuda", "bf16", marks=[needs_gpu, pytest.mark.skipif(no_bf16, reason="this GPU has no bf16")]),
    pytest.param("cuda", "fp16", marks=needs_gpu),
]
FAST_PLACES = [PLACES[0], PLACES[-1]]


def rng(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def noise(step: int, channels: int, dimensions: int = 3) -> Tensor:
    return torch.randn(2, channels, *(8,) * dimensions, generator=rng(step))


def gradients(trainer: Trainer, batch: Batch) -> dict[str, Tensor]:
    """As the loop makes them; half precision needs its loss scaled, or small gradients vanish."""
    trainer.network.zero_grad()
    scaler = torch.amp.GradScaler(trainer.device.type, init_scale=2.0**10, enabled=trainer.precision == "fp16")
    scaler.scale(trainer.loss(batch, rng(device=trainer.device.type)).total).backward()
    return {name: p.grad.clone() for name, p in trainer.network.named_parameters() if p.grad is not None}


def differ(ours: Tensor, theirs: Tensor) -> float:
    """Norm of the difference relative to the norm."""
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize(("device", "precision"), PLACES)
@pytest.mark.parametrize("deep_supervision", [False, True])
def test_no_parameter_is_left_without_gradient(
    make_trainer: Make, make_batch: Make, name: str, device: str, precision: str, deep_supervision: bool
) -> None:
    trainer = make_trainer(name, device=device, precision=precision, deep_supervision=deep_supervision)
    found = gradients(trainer, make_batch(device=device))
    assert set(found) == {name for name, parameter in trainer.network.named_parameters() if parameter.requires_grad}
    assert [parameter for parameter, gradient in found.items() if not gradient.abs().sum() > 0] == []
    assert [parameter for parameter, gradient in found.items() if not gradient.isfinite().all()] == []


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize(("device", "precision"), PLACES)
def test_the_papers_network_trains_with_every_trainer(
    make_trainer: Make, make_batch: Make, name: str, device: str, precision: str
) -> None:
    trainer = make_trainer(name, device=device, precision=precision, additive=True)
    found = gradients(trainer, make_batch(device=device))
    assert set(found) == {name for name, parameter in trainer.network.named_parameters() if parameter.requires_grad}
    assert [parameter for parameter, gradient in found.items() if not gradient.abs().sum() > 0] == []
    assert [parameter for parameter, gradient in found.items() if not gradient.isfinite().all()] == []


@pytest.mark.parametrize("name", DIFFUSION)
@pytest.mark.parametrize(("device", "precision"), PLACES)
def test_the_gradient_is_that_of_the_second_pass_alone(
    make_trainer: Make, make_batch: Make, name: str, device: str, precision: str
) -> None:
    trainer, batch = make_trainer(name, device=device, precision=precision), make_batch(device=device)
    made: list[tuple[Tensor, Tensor]] = []
    first_pass = trainer.noised_mask

    def record(*args: Any) -> tuple[Tensor, Tensor]:
        made.append(first_pass(*args))
        return made[-1]

    # Making the trainer lets cuDNN search for kernels; found anew, they need not add in the same order.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        trainer.noised_mask = record
        ordinary = gradients(trainer, batch)
        trainer.noised_mask = lambda *args: made[0]
        torch.clear_autocast_cache()
        constant = gradients(trainer, batch)
    assert not made[0][0].requires_grad
    assert set(ordinary) == set(constant)
    # On a GPU the order of a sum may leave rounding; a gradient through the first pass is far more, see the next test.
    most = 0.0 if device == "cpu" else 1e-2
    assert {parameter: differ(ordinary[parameter], constant[parameter]) for parameter in ordinary} == pytest.approx(
        dict.fromkeys(ordinary, 0.0), abs=most
    )


def test_a_gradient_through_the_first_pass_would_be_seen(
    make_trainer: Make, make_batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, batch = make_trainer("recycling"), make_batch()
    without = gradients(trainer, batch)
    monkeypatch.setattr(torch, "no_grad", contextlib.nullcontext)
    through = gradients(trainer, batch)
    assert max(differ(through[parameter], without[parameter]) for parameter in without) > 0.1


def test_recycling_shows_the_label_to_no_network_input(make_trainer: Make, make_batch: Make) -> None:
    trainer, batch = make_trainer("recycling"), make_batch()
    inputs: list[tuple[Tensor, ...]] = []
    trainer.network.register_forward_pre_hook(lambda module, args: inputs.append(args))
    trainer.loss(batch, rng())
    trainer.loss(batch._replace(label=(2 - batch.label.clamp(min=0)).short()), rng())
    for before, after in zip(*inputs, strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("name", DIFFUSION)
def test_only_recycling_from_pure_noise_has_a_path_from_the_label_to_a_network_input(
    make_trainer: Make, make_batch: Make, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """By gradient, with the first pass's as well: hiding it under no_grad would prove nothing."""
    trainer, batch = make_trainer(name), make_batch()
    inputs: list[Tensor] = []
    trainer.network.register_forward_pre_hook(lambda module, args: inputs.extend(a for a in args if a is not None))
    trainer.network.encode = lambda image: inputs.append(image) or image
    denoise = trainer.network.denoise
    trainer.network.denoise = lambda *args: inputs.extend(args) or denoise(*args)
    monkeypatch.setattr(torch, "no_grad", contextlib.nullcontext)
    target, known = trainer.spec.one_hot(batch.label)
    target.requires_grad_()
    monkeypatch.setattr(type(trainer.spec), "one_hot", lambda spec, label: (target, known))
    trainer.loss(batch, rng())
    # The weighted sum, since the channels of a mask sum to one.
    total = sum((value * torch.randn_like(value)).sum() for value in inputs)
    found = torch.autograd.grad(total, target, allow_unused=True)[0] if total.requires_grad else None
    assert len(inputs) >= 3
    assert (found is None or not found.any()) == (name == "recycling")


@pytest.mark.parametrize("name", [name for name in DIFFUSION if name != "recycling"])
def test_the_other_diffusion_trainers_do_show_the_label(make_trainer: Make, make_batch: Make, name: str) -> None:
    trainer, batch = make_trainer(name), make_batch()
    inputs: list[tuple[Tensor, ...]] = []
    trainer.network.register_forward_pre_hook(lambda module, args: inputs.append(args))
    trainer.loss(batch, rng())
    trainer.loss(batch._replace(label=(2 - batch.label.clamp(min=0)).short()), rng())
    assert not torch.equal(inputs[0][1], inputs[1][1])


@pytest.mark.parametrize("name", DIFFUSION)
@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_network_that_knows_the_mask_ends_at_it(
    make_trainer: Make, make_batch: Make, name: str, sampler: str, steps: int
) -> None:
    trainer, batch = make_trainer(name), make_batch()
    truth, _ = trainer.spec.one_hot(batch.label)
    trainer.probabilities = lambda image, mask, level, network=None: truth
    *_, answer = trainer.predict_steps(batch.image, noise, Sampling(steps=steps, sampler=sampler))
    assert torch.equal(answer, truth)


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
    answers, passes = ONE_BY_ONE.get(name, (3, 3))
    assert len(steps) == trainer.predicted_steps(Sampling(steps=3)) == answers
    assert trainer.passes(Sampling(steps=3)) == passes
    for step in steps:
        assert step.shape == (2, 2 if regions else 3, *image.shape[2:])
        assert step.dtype == torch.float32
        assert step.min() >= 0
        assert step.max() <= 1
    if not regions:
        torch.testing.assert_close(steps[-1].sum(1), torch.ones_like(steps[-1][:, 0]))


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(("device", "precision"), FAST_PLACES)
def test_sixty_updates_on_one_batch_lower_the_loss(
    make_trainer: Make, make_batch: Make, name: str, dimensions: int, device: str, precision: str
) -> None:
    settings = ("learning_rate=0.01", *(("timesteps=1,10", "voxels=512") if name in READ_OUTS else ()))
    trainer = make_trainer(name, dimensions=dimensions, settings=settings, device=device, precision=precision)
    if name in READ_OUTS:  # what noise a step means is known by a backbone, and there is none here
        trainer.network.log_snr.copy_(torch.logit(alpha_bar(USUAL_NOISE)[[1, 10]]))
    batch = make_batch(dimensions, device=device)
    optimiser = make_optimiser(trainer.network, trainer.options)
    scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")
    losses = []
    for update in range(60):
        loss = trainer.loss(batch, rng(update, device)).total
        optimiser.zero_grad()
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimiser)
        scaler.update()
        losses.append(loss.item())
    # A linear map of random features can hardly do more than guess how frequent classes are.
    assert sum(losses[-10:]) < (0.97 if name == "linear-probe" else 0.7) * sum(losses[:10])


@pytest.mark.parametrize("name", DIFFUSION)
@pytest.mark.parametrize("additive", [False, True])
def test_the_output_has_a_gradient_in_every_layer_that_reads_the_level_at_initialisation(
    make_trainer: Make, make_batch: Make, name: str, additive: bool
) -> None:
    trainer, image = make_trainer(name, additive=additive), make_batch().image
    mask = torch.rand(2, trainer.mask_channels, 8, 8, 8, generator=rng())
    trainer.network.eval()(image, mask, torch.tensor([-3.0, 4.0])).square().sum().backward()
    layers = {n: p for n, p in trainer.network.named_parameters() if "film" in n or "embedding" in n}
    assert len(layers) >= 12
    assert [n for n, p in layers.items() if p.grad is None or not p.grad.norm() > 1e-4] == []


def test_the_level_costs_less_than_two_percent_of_the_activations(make_trainer: Make) -> None:
    trainer = make_trainer("recycling")
    wide = trainer.configuration.network.model_copy(update={"features": (16, 32, 64)})
    changed = trainer.configuration.model_copy(update={"network": wide, "patch_size": (32, 32, 32)})
    plan = trainer.plan.model_copy(update={"configurations": {"patches": changed}})

    def activations(*settings: str) -> int:
        options = make_trainer("recycling", settings=settings).options
        return training_memory(type(trainer), plan, "patches", trainer.dataset, options, precision="fp32").activations

    assert activations() < 1.02 * activations("level_conditioning=none")


@pytest.mark.parametrize("name", DIFFUSION)
def test_the_output_depends_on_the_level_after_training(make_trainer: Make, make_batch: Make, name: str) -> None:
    trainer, batch = make_trainer(name), make_batch()
    optimiser = make_optimiser(trainer.network, trainer.options)
    for update in range(100):
        optimiser.zero_grad()
        trainer.loss(batch, rng(update)).total.backward()
        optimiser.step()
    mask = torch.rand(2, trainer.mask_channels, 8, 8, 8)
    low, high = (trainer.probabilities(batch.image, mask, torch.full((2,), level)) for level in (-8.0, 8.0))
    assert (low - high).abs().max() > 1e-3


def test_without_conditioning_the_network_has_no_level_layers(make_trainer: Make, make_batch: Make) -> None:
    trainer = make_trainer("recycling", settings=("level_conditioning=none",))
    assert not [name for name, _ in trainer.network.named_parameters() if "film" in name or "embedding" in name]
    assert torch.isfinite(trainer.loss(make_batch(), rng()).total)


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("additive", [False, True])
def test_a_loaded_checkpoint_predicts_the_same(
    make_trainer: Make, make_batch: Make, tmp_path: Path, name: str, additive: bool
) -> None:
    trainer, image = make_trainer(name, additive=additive), make_batch().image
    trainer.prepare_prediction()
    save_checkpoint(tmp_path / "c.pt", trainer, name)
    loaded = load_trainer(tmp_path / "c.pt", torch.device("cpu"), "fp32")
    assert loaded.plan == trainer.plan
    assert loaded.options == trainer.options
    for ours, theirs in zip(
        trainer.predict_steps(image, noise, Sampling()), loaded.predict_steps(image, noise, Sampling()), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.gpu
@pytest.mark.parametrize("name", TRAINERS)
def test_a_checkpoint_saved_on_a_gpu_loads_on_a_cpu(
    make_trainer: Make, make_batch: Make, tmp_path: Path, name: str
) -> None:
    trainer = make_trainer(name, device="cuda")
    optimiser = make_optimiser(trainer.network, trainer.options)
    trainer.loss(make_batch(device="cuda"), rng(device="cuda")).total.backward()
    optimiser.step()
    save_checkpoint(tmp_path / "c.pt", trainer, name, optimiser=optimiser.state_dict())
    loaded = load_trainer(tmp_path / "c.pt", torch.device("cpu"), "fp32")
    for parameter, value in loaded.network.state_dict().items():
        assert value.device.type == "cpu"
        assert torch.equal(value, trainer.network.state_dict()[parameter].cpu())
    make_optimiser(loaded.network, loaded.options).load_state_dict(read_checkpoint(tmp_path / "c.pt")["optimiser"])
    for step in loaded.predict_steps(make_batch().image, noise, Sampling()):
        assert torch.isfinite(step).all()


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
@pytest.mark.parametrize("regions", [False, True])
def test_every_loss_of_the_options_is_finite_without_foreground_or_without_labels(
    make_trainer: Make, make_batch: Make, name: str, regions: bool
) -> None:
    settings = ["focal_weight=1", "mse_weight=1"] + ["vlb_weight=1", "prediction=noise"] * (name in DIFFUSION)
    trainer, batch = make_trainer(name, regions=regions, settings=tuple(settings)), make_batch()
    for value in (0, -2):
        loss = trainer.loss(batch._replace(label=torch.full_like(batch.label, value)), rng()).total
        loss.backward()
        assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in trainer.network.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", TRAINERS)
def test_the_loss_is_the_sum_of_its_parts_by_the_weights_of_the_options(
    make_trainer: Make, make_batch: Make, name: str
) -> None:
    parts = ["dice_weight", "cross_entropy_weight", "focal_weight", "mse_weight"] + ["vlb_weight"] * (name in DIFFUSION)

    def loss(**weights: float) -> float:
        settings = tuple(f"{part}={weights.get(part, 0)}" for part in parts)
        return float(make_trainer(name, settings=settings).loss(make_batch(), rng()).total.detach())

    alone = [loss(**{part: 1}) for part in parts]
    assert min(alone) > 0
    wanted = sum(weight * value for weight, value in enumerate(alone, start=1))
    assert loss(**{part: weight for weight, part in enumerate(parts, start=1)}) == pytest.approx(wanted, rel=1e-4)


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
