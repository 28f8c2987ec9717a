"""Trainers that predict the noise: one conversion to a mask in losses, first passes and samplers; and the bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autodiffseg import registry
from autodiffseg.diffusion.parametrisation import mask_logits, noise_from_x0
from autodiffseg.diffusion.process import x0_of
from autodiffseg.errors import UserError
from autodiffseg.losses.noise_error import noise_error
from autodiffseg.losses.resolutions import at_resolution
from autodiffseg.plans import DiffusionPlan
from autodiffseg.sampling import Sampling
from autodiffseg.trainers.checkpoints import load_trainer, save_checkpoint, trainer_class
from autodiffseg.trainers.options import read_settings

Make = Callable[..., Any]
FAMILY = [name for name in sorted(registry.known(registry.TRAINERS)) if hasattr(trainer_class(name), "noised_mask")]
NOISE = ("prediction=noise",)
ALL_LOSSES = ("focal_weight=1", "mse_weight=1", "vlb_weight=1")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(step: int, channels: int) -> Tensor:
    return torch.randn(2, channels, 8, 8, 8, generator=rng(step))


def knows_the_noise(trainer: Any, truth: Tensor) -> Callable[..., Tensor]:
    """A network that finds, in x_t as it is shown, the noise that leaves `truth`."""

    def finest(image: Tensor, mask: Tensor, level: Tensor, network: Any = None) -> Tensor:
        x_t = 2 * mask[:, : trainer.spec.channels] - 1
        return noise_from_x0(x_t, x0_of(truth), torch.sigmoid(level.double()))

    return finest


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_network_that_knows_the_noise_ends_at_the_mask(
    make_trainer: Make, make_batch: Make, name: str, regions: bool, sampler: str, steps: int
) -> None:
    trainer, batch = make_trainer(name, regions=regions, settings=NOISE), make_batch()
    truth, _ = trainer.spec.one_hot(batch.label.clamp(min=0))
    trainer.finest = knows_the_noise(trainer, truth)
    *_, answer = trainer.predict_steps(batch.image, noise, Sampling(steps=steps, sampler=sampler))
    torch.testing.assert_close(answer, truth, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("deep_supervision", [False, True])
def test_the_right_noise_costs_nothing_whatever_x_t_was_made_of(
    make_trainer: Make, make_batch: Make, name: str, regions: bool, deep_supervision: bool
) -> None:
    """The first passes of an untrained network are wrong, so what recycling noises is not the label."""
    trainer = make_trainer(name, regions=regions, deep_supervision=deep_supervision, settings=NOISE)
    batch = make_batch()
    truth, _ = trainer.spec.one_hot(batch.label)
    asked = [(8, 8, 8), (4, 4, 4)] if deep_supervision else [(8, 8, 8)]

    def logits(image: Tensor, mask: Tensor, level: Tensor) -> list[Tensor]:
        right = knows_the_noise(trainer, truth)(image, mask, level)
        return [at_resolution(right, torch.Size(size)) for size in asked]

    trainer.logits = logits
    assert trainer.loss(batch, rng()).total.item() < 2e-3
    trainer.logits = lambda *args: [level + 0.5 for level in logits(*args)]
    assert trainer.loss(batch, rng()).total.item() > 0.02


def test_the_loss_by_hand(make_trainer: Make, make_batch: Make) -> None:
    trainer, batch = make_trainer("diffusion", settings=(*NOISE, "noise_weight=0.7")), make_batch()
    target, known = trainer.spec.one_hot(batch.label)
    x_t, output, t = torch.randn(2, 3, 8, 8, 8), torch.randn(2, 3, 8, 8, 8), torch.tensor([300, 700])
    bars = trainer.alpha_bar[t]
    logits = mask_logits(output, x_t, bars, prediction="noise", regions=False)
    wanted = trainer.segmentation_loss(logits, target, known).total
    wanted = wanted + 0.7 * noise_error(output, x_t, target, known, alpha_bar_t=bars)
    torch.testing.assert_close(trainer.denoising_loss(output, x_t, t, target, known).total, wanted)


@pytest.mark.parametrize("name", FAMILY)
def test_first_passes_go_on_from_the_mask_that_the_noise_leaves(
    make_trainer: Make, make_batch: Make, name: str
) -> None:
    trainer = make_trainer(name, settings=(*NOISE, "log_snr_shift=0", "training_steps=5"))
    truth = torch.zeros(2, 3, 8, 8, 8)
    truth[:, 1] = 1
    trainer.finest = knows_the_noise(trainer, truth)
    x_t, t = trainer.noised_mask(make_batch().image, x0_of(truth), torch.tensor([199, 199]), rng(3))
    for sample, bar in zip(x_t, trainer.alpha_bar[t].tolist(), strict=True):
        assert sample[1].mean().item() == pytest.approx(math.sqrt(bar), abs=0.1)
        assert sample[2].mean().item() == pytest.approx(-math.sqrt(bar), abs=0.1)


def test_who_predicts_the_noise_sees_all_of_it(make_trainer: Make) -> None:
    x_t, bars = torch.full((1, 3, 8, 8, 8), 3.0), torch.tensor([0.5], dtype=torch.float64)
    assert make_trainer("diffusion").mask_input(x_t, bars)[0].max() == 1
    assert make_trainer("diffusion", settings=NOISE).mask_input(x_t, bars)[0].min() == 2


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("deep_supervision", [False, True])
@pytest.mark.parametrize("settings", [NOISE, (*NOISE, *ALL_LOSSES), ALL_LOSSES, (*ALL_LOSSES, "training_steps=1")])
@pytest.mark.parametrize("aware", [(), ("timestep_sampling=loss-aware",)])
def test_every_option_trains_all_weights_and_stays_finite_without_foreground(
    make_trainer: Make, make_batch: Make, name: str, deep_supervision: bool, settings: Any, aware: Any
) -> None:
    trainer, batch = make_trainer(name, deep_supervision=deep_supervision, settings=(*settings, *aware)), make_batch()
    for label in (batch.label, torch.zeros_like(batch.label), torch.full_like(batch.label, -2)):
        trainer.network.zero_grad()
        loss = trainer.loss(batch._replace(label=label), rng()).total
        loss.backward()
        found = [parameter.grad for parameter in trainer.network.parameters()]
        assert loss.isfinite()
        assert all(gradient is not None and gradient.isfinite().all() for gradient in found)
        assert label is not batch.label or all(gradient.abs().sum() > 0 for gradient in found)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize(
    ("device", "precision"), [("cpu", "bf16"), pytest.param("cuda", "fp16", marks=pytest.mark.gpu)]
)
def test_no_weight_is_lost_to_the_first_pass_in_half_precision(
    make_trainer: Make, make_batch: Make, name: str, device: str, precision: str
) -> None:
    trainer = make_trainer(name, device=device, precision=precision, settings=(*NOISE, "vlb_weight=1"))
    trainer.loss(make_batch(device=device), torch.Generator(device).manual_seed(0)).total.backward()
    found = {name: parameter.grad for name, parameter in trainer.network.named_parameters()}
    assert [name for name, gradient in found.items() if gradient is None or not gradient.abs().sum() > 0] == []
    assert [name for name, gradient in found.items() if not gradient.isfinite().all()] == []


@pytest.mark.parametrize("regions", [False, True])
def test_a_loaded_checkpoint_predicts_the_same_probabilities(
    make_trainer: Make, make_batch: Make, tmp_path: Any, regions: bool
) -> None:
    trainer, image = make_trainer("recycling", regions=regions, settings=NOISE), make_batch().image
    save_checkpoint(tmp_path / "c.pt", trainer, "recycling")
    trainer.prepare_prediction()  # bits depend on the memory layout
    loaded = load_trainer(tmp_path / "c.pt", torch.device("cpu"), "fp32")
    ours, theirs = (list(each.predict_steps(image, noise, Sampling(steps=3))) for each in (trainer, loaded))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    if not regions:
        torch.testing.assert_close(ours[-1].sum(1), torch.ones(2, 8, 8, 8))


@pytest.mark.parametrize("schedule", [{"schedule": "quadratic"}, {"zero_terminal_snr": True}])
def test_a_schedule_that_ends_at_pure_noise_is_refused(make_trainer: Make, schedule: dict[str, Any]) -> None:
    usual = make_trainer("recycling")
    plan = usual.plan.model_copy(update={"diffusion": DiffusionPlan.model_validate(schedule)})

    def make(*settings: str) -> Any:
        options = read_settings(type(usual).Options, settings)
        return type(usual)(plan, "patches", usual.dataset, options, device=torch.device("cpu"), precision="fp32")

    with pytest.raises(UserError, match=r"Plan 'tiny' has a schedule that ends at pure noise.*prediction=x0"):
        make(*NOISE)
    assert make().alpha_bar[-1] == 0


def test_weights_that_count_for_nothing_are_no_loss() -> None:
    options, nothing = trainer_class("diffusion").Options, ("dice_weight=0", "cross_entropy_weight=0")
    with pytest.raises(UserError, match="all weights of the loss are 0"):
        read_settings(options, nothing)
    assert read_settings(options, (*nothing, *NOISE)).noise_weight == 0.1
    with pytest.raises(UserError, match="all weights of the loss are 0"):
        read_settings(options, (*nothing, *NOISE, "noise_weight=0"))
    assert read_settings(options, (*nothing, "vlb_weight=1")).vlb_weight == 1


@pytest.mark.parametrize("regions", [False, True])
def test_a_clipped_mask_has_no_gradient(regions: bool) -> None:
    x_t, output = torch.full((1, 2, 1, 1, 1), 3.0), torch.zeros(1, 2, 1, 1, 1, requires_grad=True)
    mask_logits(output, x_t, torch.tensor([0.5]), prediction="noise", regions=regions).sum().backward()
    assert output.grad is not None
    assert not output.grad.any()


@pytest.mark.parametrize("name", FAMILY)
def test_so_predicted_noise_must_count_itself(name: str) -> None:
    options = trainer_class(name).Options
    with pytest.raises(UserError, match=r"^--set.*needs a noise_weight above 0"):
        read_settings(options, (*NOISE, "noise_weight=0", "vlb_weight=1"))
    assert read_settings(options, ("noise_weight=0",)).prediction == "x0"


@pytest.mark.parametrize("steps", [5, 1001])
def test_the_bounds_of_all_steps_add_up_to_that_of_the_chain(make_trainer: Make, steps: int) -> None:
    """With one answer at every step the divergences telescope to half the first step's signal-to-noise ratio."""
    settings = ("vlb_weight=1", "dice_weight=0", "cross_entropy_weight=0", f"training_steps={steps}", "log_snr_shift=0")
    trainer = make_trainer("diffusion", settings=settings)
    logits = torch.tensor([0.5, -0.3, 0.1]).reshape(1, 3, 1, 1, 1)
    target, known = torch.zeros_like(logits), torch.ones(1, 1, 1, 1, 1, dtype=torch.bool)
    target[:, 1] = 1
    count = len(trainer.timesteps)
    many = [each.expand(count, -1, 1, 1, 1) for each in (logits, logits, target, known)]
    total = trainer.denoising_loss(many[0], many[1], trainer.timesteps, many[2], many[3]).total.item() * count
    predicted, x0 = x0_of(logits.softmax(1)).double(), x0_of(target).double()
    bars = trainer.alpha_bar[trainer.timesteps]
    snr = bars / (1 - bars)
    spread = ((1 - bars[0]) / (1 - bars[1]) * (1 - bars[1] / bars[0])).sqrt()
    likelihood = -torch.special.log_ndtr(x0 * predicted / spread).mean()
    divergence = (snr[0] - snr[-1]) / 2 * (predicted - x0).square().mean()
    assert total == pytest.approx((divergence + likelihood).item() / math.log(2), rel=1e-4)
