"""Read-outs whose answers take turns: over mirrored versions, which then cost nothing, and over samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autodiffseg.inference.mirroring import all_mirrors, apply_mirrors, undo_mirrors
from autodiffseg.sampling import Sampling
from autodiffseg.trainers.answers_in_turn import AnswersInTurn, running_mean
from autodiffseg.trainers.prediction import make_predictor
from autodiffseg.trainers.prediction_cost import _windows
from autodiffseg.trainers.prediction_options import PredictionOptions

Make = Callable[..., Any]
PAIRED = ("mirrored_steps=true",)


def noise(step: int, channels: int) -> Tensor:
    return torch.randn(2, channels, 8, 8, 8, generator=torch.Generator().manual_seed(step))


def predicted(trainer: Any, answer: int | None = None, **options: Any) -> tuple[Tensor, int]:
    """Probabilities of a case of one window, and how often the backbone was called for it."""
    calls: list[int] = []
    read = trainer.network.backbone.forward_features
    trainer.network.backbone.forward_features = lambda image, *more: (calls.append(len(image)), read(image, *more))[1]
    predictor = make_predictor(
        [trainer],
        trainer.plan,
        trainer.configuration_name,
        trainer.spec,
        device=trainer.device,
        options=PredictionOptions(**options),
        answer=answer,
    )
    image = np.random.default_rng(0).standard_normal((1, 8, 8, 8)).astype(np.float32)
    answer = torch.from_numpy(predictor.predict(image, "case"))
    trainer.network.backbone.forward_features = read
    return answer, sum(calls)


@pytest.fixture
def trained(make_trainer: Make) -> Callable[..., Any]:
    """A function that makes a read-out ready to predict."""

    def make(*settings: str) -> Any:
        trainer = make_trainer("tedm", settings=settings)
        trainer.prepare_prediction()
        return trainer

    return make


def test_each_step_sees_the_next_version_and_noise_that_is_mirrored_with_it(trained: Any) -> None:
    trainer, image = trained(), torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(9))
    mirrors, alone = all_mirrors((0, 2)), []
    for step in range(8):
        mirror = [mirrors[step % 4]]
        shown = apply_mirrors(image, mirror), apply_mirrors(noise(step, 1), mirror)
        logits = trainer.network.head(trainer.network.features(*shown, step), (8, 8, 8))
        alone.extend(undo_mirrors(logits.softmax(1), mirror))
    found = list(AnswersInTurn(trainer, (0, 2)).predict_steps(image, noise, Sampling()))
    for number, answer in enumerate(found, start=1):
        torch.testing.assert_close(answer, torch.stack(alone[:number]).mean(0))
    assert len(found) == 8


def test_paired_steps_take_as_many_passes_as_steps_and_others_so_many_for_each_version(trained: Any) -> None:
    paired, plain = trained(*PAIRED), trained()
    assert predicted(paired)[1] == 8
    assert predicted(plain)[1] == 8 * 8
    assert _windows(plain, (8, 8, 8)) == 8 * _windows(paired, (8, 8, 8))


def test_without_mirroring_pairs_are_plain_steps(trained: Any) -> None:
    paired, plain = trained(*PAIRED), trained()
    whole, passes = predicted(plain, mirroring=False)
    assert passes == 8
    for options in ({"mirroring": False}, {"mirror_axes": ()}):
        torch.testing.assert_close(predicted(paired, **options)[0], whole)
    assert (predicted(paired)[0] - whole).abs().max() > 1e-4
    assert (predicted(paired, mirror_axes=(1,))[0] - whole).abs().max() > 1e-4


@pytest.mark.parametrize("settings", [(), PAIRED, ("timesteps=1,600", "noises=2")])
def test_the_mean_of_single_answers_is_the_prediction(trained: Any, settings: tuple[str, ...]) -> None:
    trainer = trained(*settings)
    whole, passes = predicted(trainer)
    count = trainer.passes(Sampling())
    alone = [predicted(trainer, answer) for answer in range(count)]
    torch.testing.assert_close(torch.stack([answer for answer, _ in alone]).mean(0), whole)
    assert [calls for _, calls in alone] == [passes // count] * count
    assert len({float(answer[0].sum()) for answer, _ in alone}) == count


def test_the_running_mean_is_that_of_all_so_far() -> None:
    values = torch.tensor([[1.0], [2.0], [6.0]])
    assert [float(mean) for mean in running_mean(iter(values))] == [1.0, 1.5, 3.0]
