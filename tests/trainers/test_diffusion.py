"""The noise of diffusion trainers: whose shift it is, and that training and prediction agree on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autodiffseg.errors import UserError
from autodiffseg.plans import DiffusionPlan
from autodiffseg.sampling import Sampling
from autodiffseg.trainers.checkpoints import trainer_class
from autodiffseg.trainers.options import read_settings

Make = Callable[..., Any]
PLANNED = -2.0


def with_plan(make_trainer: Make, name: str, *settings: str, **diffusion: Any) -> Any:
    """A trainer whose plan has the given diffusion settings."""
    usual = make_trainer(name)
    plan = usual.plan.model_copy(update={"diffusion": DiffusionPlan.model_validate(diffusion)})
    options = read_settings(trainer_class(name).Options, settings)
    return trainer_class(name)(plan, "patches", usual.dataset, options, device=torch.device("cpu"), precision="fp32")


@pytest.mark.parametrize(
    ("name", "settings", "shift"),
    [
        ("diffusion", (), PLANNED),
        ("diffusion", ("log_snr_shift=-1",), -1.0),
        ("diffusion", ("log_snr_shift=0",), 0.0),
        ("recycling", (), 0.0),
        ("recycling", ("log_snr_shift=-1.5",), -1.5),
    ],
)
def test_the_shift_is_the_plans_unless_the_trainer_has_its_own(
    make_trainer: Make, name: str, settings: tuple[str, ...], shift: float
) -> None:
    trainer = with_plan(make_trainer, name, *settings, log_snr_shift=PLANNED)
    plain = with_plan(make_trainer, name, "log_snr_shift=0")
    torch.testing.assert_close(torch.logit(trainer.alpha_bar), torch.logit(plain.alpha_bar) + shift)


@pytest.mark.parametrize("name", ["diffusion", "recycling"])
@pytest.mark.parametrize("shift", [40, -800])
def test_a_shift_beyond_what_numbers_can_tell_is_refused(make_trainer: Make, name: str, shift: int) -> None:
    with pytest.raises(UserError, match=f"log_snr_shift {shift}: base step .* choose a log_snr_shift nearer to 0"):
        with_plan(make_trainer, name, f"log_snr_shift={shift}")


@pytest.mark.parametrize("name", ["diffusion", "recycling"])
def test_training_and_prediction_have_one_noise(
    make_trainer: Make, make_batch: Make, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    trainer, batch = with_plan(make_trainer, name, log_snr_shift=PLANNED), make_batch()
    told: list[float] = []
    shown = trainer.mask_input

    def record(x_t: Tensor, alpha_bar_t: Tensor) -> Any:
        told.extend(alpha_bar_t.tolist())
        return shown(x_t, alpha_bar_t)

    monkeypatch.setattr(trainer, "mask_input", record)
    for seed in range(3):
        trainer.loss(batch, torch.Generator().manual_seed(seed))
    list(trainer.predict_steps(batch.image, lambda step, channels: torch.randn(2, channels, 8, 8, 8), Sampling()))
    known = trainer.alpha_bar.tolist()
    assert len(told) >= 16
    assert set(told) <= set(known)


@pytest.mark.parametrize("name", ["diffusion", "recycling"])
def test_a_plan_for_other_labels_is_refused(make_trainer: Make, name: str) -> None:
    assert with_plan(make_trainer, name, encoding="classes").spec.has_regions is False
    with pytest.raises(UserError, match=r"encoding 'regions', but dataset\.json declares classes; set `encoding`"):
        with_plan(make_trainer, name, encoding="regions")


def test_a_shift_is_a_number() -> None:
    with pytest.raises(UserError, match="--set log_snr_shift=inf"):
        read_settings(trainer_class("diffusion").Options, ["log_snr_shift=inf"])


@pytest.mark.parametrize("name", ["diffusion", "recycling", "recycling-next", "self-conditioning-next"])
def test_a_plan_of_few_base_steps_trains_on_them_and_predicts_by_them(
    make_trainer: Make, make_batch: Make, name: str
) -> None:
    trainer, batch = with_plan(make_trainer, name, base_steps=5), make_batch()
    assert trainer.timesteps.tolist() == [0, 1, 2, 3, 4]
    assert trainer.alpha_bar[-1] == 0  # so short a schedule would show the mask at its end, and is rescaled
    for seed in range(5):
        assert torch.isfinite(trainer.loss(batch, torch.Generator().manual_seed(seed)).total)
    steps = list(
        trainer.predict_steps(batch.image, lambda step, channels: torch.randn(2, channels, 8, 8, 8), Sampling())
    )
    assert len(steps) == 5
    assert all(torch.isfinite(step).all() for step in steps)


@pytest.mark.parametrize(("respacing", "wanted"), [("trailing", [199, 399, 600, 800, 1000]), ("endpoints", None)])
def test_the_plans_respacing_is_that_of_training_and_of_prediction(
    make_trainer: Make, respacing: str, wanted: list[int] | None
) -> None:
    trainer = with_plan(make_trainer, "diffusion", "training_steps=5", respacing=respacing)
    assert trainer.timesteps.tolist() == (wanted or [0, 250, 500, 750, 1000])
    visited = trainer.trajectory(Sampling(steps=5)).levels
    assert list(visited) == pytest.approx(trainer.alpha_bar[trainer.timesteps].flip(0).tolist(), rel=1e-12)
