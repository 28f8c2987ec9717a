"""What is told before a training begins is what it takes, and is remembered once it was measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autodiffseg.dataloading.batches import Batch
from autodiffseg.memory.calibration import CACHE, Reading, overhead_of
from autodiffseg.memory.estimate import GB
from autodiffseg.memory.visible_gpu import VisibleGpu
from autodiffseg.trainers import forecast as module
from autodiffseg.trainers.expected_time import expected_seconds, update_operations
from autodiffseg.trainers.forecast import SETTLED, Forecast, memory_line, memory_of, time_line
from autodiffseg.trainers.training_memory import bare_loop

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))


def loop_of(trainer: Any, *, preset: str = "default") -> Any:
    trainer.plan = trainer.plan.model_copy(update={"preset": preset})
    return bare_loop(trainer)


def test_a_gpu_plan_on_a_cpu_is_told_its_hours_and_the_cure(make_trainer: Make) -> None:
    (line,) = Forecast(loop_of(make_trainer("recycling"))).lines()
    assert line.startswith("Plan 'tiny' is for a GPU: on this CPU its 1,000 updates take about ")
    assert "--preset cpu, then train with --plan cpu" in line
    assert "\n" not in line


def test_a_plan_for_a_cpu_is_told_nothing_and_neither_is_one_that_goes_on(make_trainer: Make) -> None:
    assert Forecast(loop_of(make_trainer("supervised"), preset="cpu")).lines() == []
    going_on = loop_of(make_trainer("supervised"))
    going_on.update = 7
    assert Forecast(going_on).lines() == []


def test_on_a_gpu_the_prediction_is_told_before_and_the_measurement_remembered_after(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "visible_gpu", lambda device: VisibleGpu("Card", 24 * GB))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    trainer = make_trainer("recycling")
    forecast = Forecast(loop_of(trainer))
    (line,) = forecast.lines()
    assert "predicted for RecyclingTrainer" in line
    assert "Card has 24.0 GB" in line
    assert "unlikely" not in line
    tensors = memory_of(trainer).peak
    reading = Reading("Card", torch.__version__, round(1.05 * tensors) + 10**9)
    for update in range(1, SETTLED + 2):
        forecast.after_update(update, lambda device: reading)
    assert overhead_of("Card", torch.__version__) == pytest.approx(1.5e9, rel=1e-6)


def test_a_gpu_that_is_too_small_is_told_with_the_cure(make_trainer: Make) -> None:
    trainer = make_trainer("supervised")
    line = memory_line("supervised", trainer, memory_of(trainer), VisibleGpu("Old card", GB))
    assert "unlikely to fit" in line
    assert "plan-and-preprocess Dataset999_Tiny --preset cpu --gpu-memory 1 --name tiny-1gb" in line


def test_a_trainer_that_cannot_be_run_without_data_trains_nevertheless(make_trainer: Make) -> None:
    trainer = make_trainer("supervised")

    class Curious(type(trainer)):  # type: ignore[misc]
        def loss(self, batch: Any, rng: Any) -> Any:
            return super().loss(batch, rng) if float(batch.image.mean()) < 9 else None

    trainer.__class__ = Curious
    (line,) = Forecast(loop_of(trainer)).lines()
    assert "Curious cannot be traced" in line


def test_recycling_computes_a_forward_pass_more_than_diffusion(make_trainer: Make) -> None:
    """Backwards costs twice forwards, but for the first layer, whose input needs no gradient: 4/3 in all, or more."""
    diffusion, recycling = (update_operations(make_trainer(name)) for name in ("diffusion", "recycling"))
    assert 4 / 3 <= recycling / diffusion < 1.45


@pytest.mark.slow
def test_the_time_told_is_about_the_time_taken(make_trainer: Make) -> None:
    """Within a factor of three, since others may use this machine too."""
    trainer = make_trainer("recycling")
    network = trainer.configuration.network.model_copy(update={"features": (16, 32, 64)})
    larger = trainer.configuration.model_copy(update={"patch_size": (48, 48, 48), "network": network})
    plan = trainer.plan.model_copy(update={"configurations": {"patches": larger}})
    trainer = type(trainer)(
        plan, "patches", trainer.dataset, trainer.options, device=torch.device("cpu"), precision="fp32"
    )
    shape = (2, 48, 48, 48)
    batch = Batch(torch.randn(shape)[:, None], torch.randint(3, shape, dtype=torch.int16), ("", ""))
    loop = bare_loop(trainer)
    loop.step(batch)
    began = time.perf_counter()
    for _ in range(3):
        loop.step(batch)
    taken = time.perf_counter() - began
    assert taken / 3 < expected_seconds(trainer, 3) < taken * 3


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "1 seconds"), (89, "89 seconds"), (600, "10 minutes"), (7.2e6, "2,000 hours")]
)
def test_times_are_told_in_a_unit_that_one_can_picture(make_trainer: Make, seconds: float, told: str) -> None:
    assert f"updates take about {told}. For a CPU" in time_line(loop_of(make_trainer("supervised")), seconds)
