"""The noise field is standard normal, independent where it should be, and the same wherever it is cut."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autodiffseg.inference import noise_field
from autodiffseg.inference.noise_field import NoiseField, WindowNoise

CPU = torch.device("cpu")
SHAPE = (40, 50, 60)
PINNED = [0.9581540, -1.1387732, 0.8563687, 1.4799045]
BOUND = 4.5 / (40 * 50 * 60) ** 0.5  # 4.5 standard errors of a mean or a correlation over one channel


def whole(case: str = "case", step: int = 0, channels: int = 3, *, seed: int = 0, sample: int = 0) -> torch.Tensor:
    field = NoiseField(case, seed=seed, sample=sample)
    return field.window(step, channels, origin=(-5, 0, -7), shape=SHAPE, device=CPU)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]).double())[0, 1])


@pytest.mark.parametrize("channel", range(5))
def test_every_channel_is_standard_normal(channel: int) -> None:
    values = whole(channels=5)[channel].double().flatten()
    assert abs(float(values.mean())) < BOUND
    assert abs(float(values.var()) - 1) < BOUND * 2**0.5
    assert abs(float((values**3).mean())) < BOUND * 15**0.5
    assert abs(float((values**4).mean()) - 3) < BOUND * 96**0.5
    assert stats.kstest(values.numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("distance", [1, 2, 8])
def test_neighbours_are_uncorrelated(axis: int, distance: int) -> None:
    field = whole()
    length = field.shape[axis] - distance
    a, b = field.narrow(axis, 0, length), field.narrow(axis, distance, length)
    assert abs(correlation(a, b)) < BOUND
    assert abs(correlation(a.abs(), b.abs())) < BOUND


def test_channels_steps_samples_seeds_and_cases_are_independent() -> None:
    first = whole(channels=6)
    others = [*first[1:], whole(step=1)[0], whole(sample=1)[0], whole(seed=1)[0], whole(case="casf")[0]]
    for other in others:
        assert abs(correlation(first[0], other)) < BOUND
        assert abs(correlation(first[0] ** 2, other**2)) < BOUND  # Box-Muller pairs share a radius if it is done wrong


@given(
    origin=st.tuples(*[st.integers(-40, 40)] * 3),
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    offset=st.tuples(*[st.integers(0, 8)] * 3),
    channels=st.integers(1, 6),
)
def test_a_window_is_a_crop_of_any_larger_window(
    origin: tuple[int, ...], shape: tuple[int, ...], offset: tuple[int, ...], channels: int
) -> None:
    field = NoiseField("a", seed=3)
    bigger = [size + more for size, more in zip(shape, offset, strict=True)]
    large = field.window(2, 6, origin=origin, shape=bigger, device=CPU)
    start = [at + more for at, more in zip(origin, offset, strict=True)]
    small = field.window(2, channels, origin=start, shape=shape, device=CPU)
    z, y, x = offset
    assert torch.equal(small, large[:channels, z:, y:, x:])


@pytest.mark.parametrize("threads", [1, 3])
def test_neither_slabs_nor_threads_change_a_bit(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    before, first = torch.get_num_threads(), whole(channels=5)
    monkeypatch.setattr(noise_field, "CHUNK", 50 * 60 * 7)  # slabs of three planes with two groups of channels
    torch.set_num_threads(threads)
    try:
        assert torch.equal(whole(channels=5), first)
    finally:
        torch.set_num_threads(before)


def test_the_field_is_the_same_in_another_process() -> None:
    code = (
        "import torch; from autodiffseg.inference.noise_field import NoiseField; cpu = torch.device('cpu');"
        "print(NoiseField('ä b', seed=1).window(0, 1, origin=(0, 0, 0), shape=(1, 1, 1), device=cpu).item())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = NoiseField("ä b", seed=1).window(0, 1, origin=(0, 0, 0), shape=(1, 1, 1), device=CPU)
    assert float(printed) == here.item()


def test_values_do_not_change_between_releases() -> None:
    values = NoiseField("case", seed=0).window(0, 2, origin=(0, 0, 0), shape=(1, 1, 2), device=CPU)
    assert values.flatten().tolist() == pytest.approx(PINNED, abs=1e-6)


def test_windows_of_one_slice_take_the_slice_as_a_coordinate() -> None:
    field = NoiseField("a", seed=0)
    flat = WindowNoise(field, [(3, 1, 2), (4, 1, 2)], (5, 6), device=CPU)(1, 2)
    solid = field.window(1, 2, origin=(3, 1, 2), shape=(2, 5, 6), device=CPU)
    assert torch.equal(flat, solid.transpose(0, 1))


def test_asking_again_gives_the_same_noise_and_mirrors_turn_it_round() -> None:
    noise = WindowNoise(NoiseField("a", seed=0), [(0, 0, 0), (9, 0, 0)], (3, 4, 5), device=CPU)
    first = noise(0, 2)
    assert torch.equal(noise.mirrored([(), (0, 2)])(0, 2), torch.cat([first, first.flip(2, 4)]))
    assert not torch.equal(noise(1, 2), first)


@pytest.mark.gpu
def test_cuda_gives_the_field_of_the_cpu() -> None:
    field = NoiseField("a", seed=0)
    here, there = (
        field.window(0, 3, origin=(-1, 0, 5), shape=SHAPE, device=device) for device in (CPU, torch.device("cuda"))
    )
    assert float((here - there.cpu()).abs().max()) < 1e-6
