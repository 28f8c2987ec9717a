"""End to end on synthetic scans: what a denoiser has learnt without labels lets a head learn from one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autodiffseg.dataloading.batches import Batch
from autodiffseg.dataset import DatasetJson
from autodiffseg.plans import Plan
from autodiffseg.sampling import Sampling
from autodiffseg.trainers.checkpoints import save_checkpoint, trainer_class
from autodiffseg.trainers.ddpm_pretraining import NAME, DdpmPretrainingTrainer, PretrainingOptions
from autodiffseg.trainers.options import read_settings
from autodiffseg.trainers.training_memory import bare_loop

from .conftest import tiny_plan

SIZE, POOL, UPDATES = 32, 200, 50
CPU = torch.device("cpu")
DATASET = DatasetJson.model_validate(
    {"channel_names": {"0": "X-ray"}, "labels": {"background": 0, "lung": 1}, "file_ending": ".png"}
)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scans(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bodies with two dark lungs of various sizes and contrasts, uneven light and noise; and where the lungs are."""
    source = rng(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=source)

    def ellipse(centre: tuple[Tensor, Tensor], radii: tuple[Tensor, Tensor]) -> Tensor:
        return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1

    body = ellipse((between(-0.1, 0.1), between(-0.1, 0.1)), (between(0.8, 1.0), between(0.75, 0.95)))
    left, right = (
        ellipse((between(-0.1, 0.2), side * between(0.35, 0.5)), (between(0.4, 0.6), between(0.2, 0.32)))
        for side in (-1, 1)
    )
    lungs = (left | right) & body
    light = between(-0.2, 0.2) * x + between(-0.2, 0.2) * y
    noise = 0.25 * torch.randn(count, SIZE, SIZE, generator=source)
    image = 1.5 * body - lungs * between(0.9, 1.4) + light + noise
    return ((image - image.mean((1, 2), keepdim=True)) / image.std((1, 2), keepdim=True))[:, None], lungs.short()


def plan() -> Plan:
    """Patches of a whole scan, four stages."""
    tiny = tiny_plan(2)
    stages = {
        "features": (16, 32, 64, 64),
        "kernels": ((3, 3),) * 4,
        "strides": ((1, 1), *((2, 2),) * 3),
        "encoder_blocks": (1,) * 4,
        "decoder_blocks": (1,) * 3,
    }
    planned = tiny.configurations["patches"]
    whole = {"patch_size": (SIZE, SIZE), "batch_size": 8, "network": planned.network.model_copy(update=stages)}
    return tiny.model_copy(update={"configurations": {"patches": planned.model_copy(update=whole)}})


def train(trainer: Any, batch: Callable[[int], Batch], updates: int) -> None:
    loop = bare_loop(trainer)
    loop.record = loop.record.model_copy(update={"iterations": updates})
    for _ in range(updates):
        loop.step(batch(loop.update))
        loop.update += 1


def dice_of_tedm(backbone: Path) -> float:
    """Mean Dice over twenty new scans of a head that has seen one labelled scan."""
    torch.manual_seed(0)
    cls = trainer_class("tedm")
    options = read_settings(cls.Options, ["learning_rate=0.01", f"backbone={backbone}"])
    trainer = cls(plan(), "patches", DATASET, options, device=CPU, precision="fp32")
    image, label = scans(1, seed=1000)
    train(trainer, lambda n: Batch(image.repeat(2, 1, 1, 1), label.repeat(2, 1, 1), ("one", "one")), UPDATES)
    trainer.prepare_prediction()
    image, label = scans(20, seed=2000)
    with torch.inference_mode():
        *_, answer = trainer.predict_steps(
            image, lambda step, channels: torch.randn(20, channels, SIZE, SIZE, generator=rng(step)), Sampling()
        )
    found = answer.argmax(1)
    overlap, total = 2 * (found * label).sum((1, 2)), found.sum((1, 2)) + label.sum((1, 2))
    return float((overlap / total).mean())


def pretrained(path: Path, updates: int) -> Path:
    """A denoiser after so many updates on the unlabelled scans."""
    torch.manual_seed(0)
    options = read_settings(PretrainingOptions, ["learning_rate=0.003", "average_decay=0.98"])
    trainer = DdpmPretrainingTrainer(plan(), "patches", DATASET, options, device=CPU, precision="fp32")
    images, _ = scans(POOL, seed=0)

    def batch(n: int) -> Batch:
        chosen = images[torch.randint(POOL, (8,), generator=rng(n))]
        return Batch(chosen, torch.zeros(8, SIZE, SIZE, dtype=torch.int16), ("",) * 8)

    train(trainer, batch, updates)
    save_checkpoint(path, trainer, NAME, **trainer.beside_weights(updates))
    return path


@pytest.mark.slow
def test_one_label_is_enough_for_a_head_on_a_pretrained_denoiser_and_not_on_a_random_one(tmp_path: Path) -> None:
    assert dice_of_tedm(pretrained(tmp_path / "pretrained.pt", 200)) > 0.8
    assert dice_of_tedm(pretrained(tmp_path / "random.pt", 0)) < 0.7
