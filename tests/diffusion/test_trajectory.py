"""The way from noise to mask: what the network is shown at every level, and that crops go the way of the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autodiffseg.diffusion.trajectory import Trajectory
from autodiffseg.sampling import Sampling

LEVELS = (0.001, 0.3, 0.8)


def noise(step: int, channels: int) -> Tensor:
    return torch.randn(1, channels, 6, 7, generator=torch.Generator().manual_seed(step))


def pointwise(patch: Tensor, x_t: Tensor, alpha_bar_t: float, previous: Tensor | None) -> Tensor:
    believed = 0.5 if previous is None else previous
    return torch.sigmoid(patch + x_t * alpha_bar_t + believed)


def test_every_call_sees_its_level_and_the_answer_before() -> None:
    seen: list[tuple[float, Tensor | None]] = []

    def denoise(patch: Tensor, x_t: Tensor, alpha_bar_t: float, previous: Tensor | None) -> Tensor:
        seen.append((alpha_bar_t, previous))
        return torch.full_like(x_t, len(seen) / 10)

    answers = list(Trajectory(denoise, LEVELS, Sampling(steps=3), 2).walk(torch.zeros(1), noise))
    assert [level for level, _ in seen] == list(LEVELS)
    assert seen[0][1] is None
    assert seen[1][1] is answers[0]
    assert seen[2][1] is answers[1]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(sampler="ddim"), Sampling(sampler="ddim", eta=0.5)])
def test_a_crop_goes_the_way_of_the_whole(sampling: Sampling) -> None:
    image = torch.randn(1, 1, 6, 7, generator=torch.Generator().manual_seed(9))
    way = Trajectory(pointwise, LEVELS, sampling, 2)
    whole = list(way.walk(image, noise))
    part = list(way.walk(image[..., 2:5, 1:], lambda step, channels: noise(step, channels)[..., 2:5, 1:]))
    for large, small in zip(whole, part, strict=True):
        torch.testing.assert_close(large[..., 2:5, 1:], small)


def test_what_is_put_in_place_of_an_answer_is_where_the_way_goes_on() -> None:
    way = Trajectory(pointwise, LEVELS, Sampling(sampler="ddim"), 1)
    x_t = way.start(noise)
    sure = torch.ones_like(x_t)
    # DDIM without fresh noise, told x0 = 1: x_s = √ᾱ_s + √(1-ᾱ_s) · (x_t - √ᾱ_t)/√(1-ᾱ_t)
    expected = 0.3**0.5 + 0.7**0.5 * (x_t - 0.001**0.5) / 0.999**0.5
    torch.testing.assert_close(way.advance(1, x_t, sure, noise), expected)
