"""finetune-ddpm: what it takes over, what it is told, and its twin from scratch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autodiffseg.plans import DiffusionPlan
from autodiffseg.sampling import Sampling
from autodiffseg.trainers.backbone import USUAL_NOISE, read_backbone
from autodiffseg.trainers.finetune_ddpm import LEVEL, least_noise
from autodiffseg.trainers.optimisation import make_optimiser
from autodiffseg.trainers.training_memory import bare_loop

Make = Callable[..., Any]
Save = Callable[..., Path]


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_encoder_decoder_and_conditioning_are_pretrained_and_the_output_layer_is_new(
    make_trainer: Make, save_backbone: Save
) -> None:
    path = save_backbone()
    trainer = make_trainer("finetune-ddpm", settings=(f"backbone={path}",))
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    bare_loop(trainer)
    wanted = read_backbone(path).weights
    for name, value in trainer.network.state_dict().items():
        if name.startswith("heads."):
            assert torch.equal(value, before[name])
        elif name != LEVEL:
            assert torch.equal(value, wanted[name])
    assert {name.partition(".")[0] for name in wanted} >= {"encoder", "decoder", "upsample", "embedding", "heads"}


def test_it_is_told_the_least_noise_of_its_own_pretraining(make_trainer: Make, save_backbone: Save) -> None:
    linear = DiffusionPlan(schedule="linear", base_steps=1000, zero_terminal_snr=False)
    trainer = make_trainer("finetune-ddpm", settings=(f"backbone={save_backbone(diffusion=linear)}",))
    told = []
    trainer.network.embedding.register_forward_pre_hook(lambda module, inputs: told.append(inputs[0]))
    assert trainer.network.get_buffer(LEVEL) == least_noise(USUAL_NOISE)
    bare_loop(trainer)
    next(trainer.predict_steps(torch.zeros(2, 1, 8, 8, 8), lambda *_: torch.zeros(0), Sampling()))
    assert told[0].tolist() == pytest.approx([torch.logit(torch.tensor(1 - 1e-4, dtype=torch.float64)).item()] * 2)


def test_all_weights_learn(make_trainer: Make, save_backbone: Save, make_batch: Make) -> None:
    trainer = make_trainer("finetune-ddpm", settings=(f"backbone={save_backbone()}",))
    bare_loop(trainer)
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    optimiser = make_optimiser(trainer.network, trainer.options)
    trainer.loss(make_batch(), rng()).total.backward()
    optimiser.step()
    assert [name for name, value in trainer.network.named_parameters() if torch.equal(value, before[name])] == []


def test_the_twin_from_scratch_is_the_same_network_with_its_random_weights(
    make_trainer: Make, save_backbone: Save
) -> None:
    twin = make_trainer("finetune-ddpm", settings=("from_scratch=true",))
    before = {name: value.clone() for name, value in twin.network.state_dict().items()}
    assert bare_loop(twin).record.backbone == ""
    assert all(torch.equal(value, before[name]) for name, value in twin.network.state_dict().items())
    pretrained = make_trainer("finetune-ddpm", settings=(f"backbone={save_backbone()}",))
    assert [*pretrained.network.state_dict()] == [*before]


def test_its_answer_is_one_pass_and_depends_on_no_noise(make_trainer: Make) -> None:
    trainer = make_trainer("finetune-ddpm", settings=("from_scratch=true",))
    image = torch.randn(2, 1, 8, 8, 8, generator=rng())
    answers = [
        list(
            trainer.predict_steps(image, lambda *_, value=value: torch.full((2, 3, 8, 8, 8), value), Sampling(steps=4))
        )
        for value in (0.0, 9.0)
    ]
    assert torch.equal(answers[0][0], answers[1][0])
    assert len(answers[0]) == trainer.passes(Sampling(steps=4)) == 1


def test_the_usual_level_is_that_of_the_first_step_of_the_cosine_schedule() -> None:
    # ᾱ_0 = f(1)/f(0) with f(t) = cos²((t/1000 + 0.008)/1.008·π/2) (arXiv 2102.09672, eq. 17)
    t = torch.tensor([1.0, 0.0], dtype=torch.float64) / 1000
    f = torch.cos((t + 0.008) / 1.008 * torch.pi / 2).square()
    bar = f[0] / f[1]
    assert least_noise(USUAL_NOISE).item() == pytest.approx(torch.log(bar / (1 - bar)).item())
