"""Sample sheets: a perfect denoiser makes the images it knows, and drawing never holds the training up."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from autodiffseg.diffusion.schedule import alpha_bar
from autodiffseg.plans import DiffusionPlan
from autodiffseg.trainers.sample_sheet import draw_sheet, generated_images

BARS = alpha_bar(DiffusionPlan(schedule="cosine", base_steps=1000, zero_terminal_snr=False))


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_denoiser_that_knows_one_image_makes_that_image() -> None:
    known = torch.randn(1, 2, 8, 8, generator=rng())

    def predict(x_t: Tensor, bar: float) -> Tensor:
        return (x_t - math.sqrt(bar) * known) / math.sqrt(1 - bar)

    found = generated_images(predict, known.repeat(3, 1, 1, 1), BARS, rng=rng())
    assert found is not None
    torch.testing.assert_close(found, known.repeat(3, 1, 1, 1), atol=1e-4, rtol=0)


def test_the_best_denoiser_of_gaussian_images_makes_images_of_their_mean_and_spread() -> None:
    mean, spread = 0.7, 0.5

    def predict(x_t: Tensor, bar: float) -> Tensor:
        return math.sqrt(1 - bar) * (x_t - math.sqrt(bar) * mean) / (bar * spread**2 + 1 - bar)

    limits = torch.zeros(8, 1, 64, 64)
    limits[0, 0, 0, 0], limits[0, 0, 0, 1] = -5, 5
    found = generated_images(predict, limits, BARS, rng=rng(), steps=1000)
    assert found is not None
    assert float(found.mean()) == pytest.approx(mean, abs=0.02)
    assert float(found.std()) == pytest.approx(spread, abs=0.02)


def test_images_keep_to_the_intensities_of_real_ones_in_every_channel() -> None:
    real = torch.rand(2, 2, 8, 8, generator=rng()) * torch.tensor([1.0, 9.0]).reshape(1, 2, 1, 1)
    found = generated_images(lambda x_t, bar: torch.zeros_like(x_t), real, BARS, rng=rng())
    assert found is not None
    for channel in range(2):
        assert found[:, channel].min() >= real[:, channel].min()
        assert found[:, channel].max() <= real[:, channel].max()
    assert found[:, 1].max() > real[:, 0].max()


def test_the_same_noise_gives_the_same_images_and_few_are_made_of_volumes() -> None:
    real = torch.rand(6, 1, 4, 4, 4, generator=rng())
    one, two = (generated_images(lambda x_t, bar: x_t / 2, real, BARS, rng=rng(), steps=5) for _ in range(2))
    assert one is not None
    assert one.shape == (4, 1, 4, 4, 4)
    assert torch.equal(one, two)  # type: ignore[arg-type]


def test_a_sheet_that_takes_too_long_is_given_up_after_a_few_steps() -> None:
    calls = []

    def slow(x_t: Tensor, bar: float) -> Tensor:
        calls.append(bar)
        return x_t

    assert generated_images(slow, torch.rand(1, 1, 4, 4), BARS, rng=rng(), seconds=0.0) is None
    assert len(calls) == 4


@pytest.mark.parametrize("shape", [(1, 1, 8, 6), (3, 5, 8, 8), (2, 1, 4, 6, 8)])
def test_a_sheet_is_a_picture_whatever_the_images(tmp_path: Path, shape: tuple[int, ...]) -> None:
    draw_sheet(torch.rand(shape), torch.rand(shape), tmp_path / "samples" / "sheet.png", update=7)
    assert (tmp_path / "samples" / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["sheet.png"]
