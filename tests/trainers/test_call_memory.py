"""The memory of a network call, counted without data, against the same call with data."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from autodiffseg.memory.live_tensors import LiveTensors
from autodiffseg.sampling import Sampling
from autodiffseg.trainers.base import Trainer
from autodiffseg.trainers.call_memory import make_call_bytes

Make = Callable[..., Trainer]


@pytest.mark.parametrize("name", ["supervised", "recycling", "self-conditioning-same"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_it_is_that_of_a_call_with_data(make_trainer: Make, name: str, dimensions: int) -> None:
    trainer, patch = make_trainer(name, dimensions=dimensions), (16, 8, 12)[:dimensions]
    # As on CUDA; on a CPU channels come last, which takes some more copies.
    trainer.network.eval().to(memory_format=torch.contiguous_format)
    list(trainer.predict_steps(torch.zeros(1, 1, *patch), noise_of(1, patch), Sampling(steps=2)))  # keeps its schedule
    with torch.no_grad(), LiveTensors() as tracker:
        for _ in trainer.predict_steps(torch.zeros(3, 1, *patch), noise_of(3, patch), Sampling(steps=2)):
            pass
    assert make_call_bytes([trainer])(3, patch) == pytest.approx(tracker.peak, rel=0.06)  # temporaries differ


def noise_of(patches: int, patch: tuple[int, ...]) -> Callable[[int, int], Tensor]:
    return lambda step, channels: torch.zeros(patches, channels, *patch)


def test_the_costliest_of_several_counts(make_trainer: Make) -> None:
    light, heavy = make_trainer("supervised"), make_trainer("self-conditioning-same")
    counts = [make_call_bytes(of)(2, (8, 8, 8)) for of in ([light], [heavy], [light, heavy], [heavy, heavy])]
    assert counts[0] < counts[1] == counts[2] == counts[3]


def test_a_trainer_that_looks_at_its_data_counts_as_nothing_and_is_told_of(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make_trainer("supervised")
    monkeypatch.setattr(type(trainer), "probabilities", lambda self, patch: patch * patch.max().item())
    with caplog.at_level(logging.WARNING):
        assert make_call_bytes([trainer])(1, (8, 8, 8)) == 0
    assert "cannot be traced without data" in caplog.text
