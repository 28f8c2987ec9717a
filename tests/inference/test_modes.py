"""The modes: windows alone, windows step by step together, and one window for the whole case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autodiffseg.diffusion.trajectory import Denoise, Trajectory
from autodiffseg.errors import UserError
from autodiffseg.inference.noise_field import NoiseField
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.inference.window_options import WindowOptions
from autodiffseg.inference.windows import gaussian_weight, origins, padding
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan
from autodiffseg.sampling import NoiseSource, Sampling

CPU = torch.device("cpu")
K = 2
LEVELS = (0.01, 0.4, 0.9)


def configuration(patch: tuple[int, ...], mirror_axes: tuple[int, ...] = ()) -> ConfigurationPlan:
    ones, twos = (1,) * len(patch), (2,) * len(patch)
    network = NetworkPlan(
        features=(4, 4), kernels=(ones, ones), strides=(ones, twos), encoder_blocks=(1, 1), decoder_blocks=(1,)
    )
    return ConfigurationPlan(
        dimensions=3 if len(patch) == 3 else 2,
        spacing=tuple(map(float, ones)),
        median_shape=patch,
        patch_size=patch,
        batch_size=2,
        batch_dice=False,
        normalisation=(NormalisationPlan(scheme="zscore"),),
        network=network,
        mirror_axes=mirror_axes,
    )


class Walker:
    """A generative model made of one function; it goes its trajectory in every mode."""

    def __init__(self, denoise: Denoise) -> None:
        self.denoise = denoise

    def trajectory(self, sampling: Sampling) -> Trajectory:
        return Trajectory(self.denoise, LEVELS, sampling, K)

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        return self.trajectory(sampling).walk(patch, noise)


class Answerer:
    """A model of one step, or of several that it takes by itself."""

    def __init__(self, steps: int = 1) -> None:
        self.steps = steps

    def trajectory(self, sampling: Sampling) -> None:
        return None

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        for _ in range(self.steps):
            yield torch.cat([patch, patch * ramp(patch)], dim=1)


def ramp(patch: Tensor) -> Tensor:
    """Another number for every place in a patch."""
    axes = torch.meshgrid(*[torch.arange(size) for size in patch.shape[2:]], indexing="ij")
    return sum((axis * (1 + n) / len(axis) for n, axis in enumerate(axes)), torch.zeros(()))


def pointwise(patch: Tensor, x_t: Tensor, alpha_bar_t: float, previous: Tensor | None) -> Tensor:
    return torch.sigmoid(patch + x_t * (1 + alpha_bar_t) - (0 if previous is None else previous))


def of_place(patch: Tensor, x_t: Tensor, alpha_bar_t: float, previous: Tensor | None) -> Tensor:
    return torch.sigmoid(patch * ramp(patch) + x_t * (1 + alpha_bar_t) - (0 if previous is None else previous))


def predictor(
    *models: Any, patch: tuple[int, ...], axes: tuple[int, ...] = (), sampling: Sampling | None = None, **window: Any
) -> CasePredictor:
    call_bytes = window.pop("call_bytes", None)
    return CasePredictor(
        models,
        configuration(patch, axes),
        channels=K,
        device=CPU,
        sampling=sampling or Sampling(),
        seed=3,
        options=WindowOptions(**window),
        call_bytes=call_bytes,
    )


def random_image(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)


sizes = st.tuples(*[st.integers(1, 9)] * 3)
patches = st.sampled_from([(2, 4, 6), (4, 4, 2), (4, 6), (2, 4)])
samplings = st.sampled_from([Sampling(), Sampling(sampler="ddim"), Sampling(sampler="ddim", eta=0.7)])


@settings(max_examples=12)
@given(shape=sizes, patch=patches, sampling=samplings, count=st.integers(1, 9), mirrored=st.booleans())
def test_all_modes_agree_where_the_network_sees_single_voxels(
    shape: tuple[int, ...], patch: tuple[int, ...], sampling: Sampling, count: int, mirrored: bool
) -> None:
    image, axes = random_image(shape), (0, 1) if mirrored else ()
    tile, together, whole = (
        predictor(Walker(pointwise), patch=patch, axes=axes, sampling=sampling, mode=mode, patches=count)
        for mode in ("tile", "synchronised", "volume")
    )
    every = tile.predict_every_step(image, "case")
    np.testing.assert_allclose(together.predict_every_step(image, "case"), every, atol=1e-5)
    np.testing.assert_allclose(whole.predict_every_step(image, "case"), every, atol=1e-5)
    np.testing.assert_array_equal(together.predict(image, "case"), together.predict_every_step(image, "case")[-1])


@pytest.mark.parametrize("count", [1, 3, 64])
@pytest.mark.parametrize("axes", [(), (0, 2)])
def test_synchronised_windows_go_on_from_the_mean_of_the_whole_case(count: int, axes: tuple[int, ...]) -> None:
    image, patch, way = random_image((3, 7, 5)), (4, 4, 4), Walker(of_place).trajectory(Sampling())
    pads = padding((3, 7, 5), patch)
    padded = torch.from_numpy(np.pad(image, ((0, 0), *pads)))
    field, weight = NoiseField("case", seed=3), gaussian_weight(patch, CPU)

    def noise(step: int, channels: int) -> Tensor:
        place = [-low for low, _ in pads]
        return field.window(step, channels, origin=place, shape=padded.shape[1:], device=CPU)

    x_t, mean, expected = way.start(noise), None, []
    for done, level in enumerate(LEVELS, start=1):
        total, weights = torch.zeros(K, *padded.shape[1:]), torch.zeros(padded.shape[1:])
        for origin in origins(padded.shape[1:], patch, 0.5):
            box = tuple(slice(at, at + size) for at, size in zip(origin, patch, strict=True))
            for flip in [[], [1], [3], [1, 3]] if axes else [[]]:
                seen = [None if v is None else v[:, *box].flip(flip)[None] for v in (padded, x_t, mean)]
                total[:, *box] += of_place(seen[0], seen[1], level, seen[2])[0].flip(flip) * weight  # type: ignore[arg-type]
                weights[box] += weight
        mean = total / weights
        expected.append(mean[:, :3, :7, :5] if not pads[0][0] else mean[:, pads[0][0] : pads[0][0] + 3])
        x_t = way.advance(done, x_t, mean, noise) if done < 3 else x_t
    result = predictor(Walker(of_place), patch=patch, axes=axes, mode="synchronised", patches=count)
    np.testing.assert_allclose(result.predict_every_step(image, "case"), torch.stack(expected).numpy(), atol=1e-5)
    apart = predictor(Walker(of_place), patch=patch, axes=axes).predict(image, "case")
    assert np.abs(apart - expected[-1].numpy()).max() > 1e-3


def test_patches_at_a_time_change_no_bit_of_synchronised_windows() -> None:
    def products(patch: Tensor, x_t: Tensor, alpha_bar_t: float, previous: Tensor | None) -> Tensor:
        return patch * ramp(patch) * x_t  # products alone: softmax may differ by where a voxel lies in memory

    image = random_image((5, 9, 7))
    results = [
        predictor(Walker(products), patch=(4, 4, 4), axes=(1, 2), mode="synchronised", patches=n).predict(image, "case")
        for n in (1, 3, 8, 100)
    ]
    assert all(np.array_equal(result, results[0]) for result in results)


@pytest.mark.parametrize("patch", [(4, 4, 4), (4, 6)])
def test_a_model_of_one_step_is_the_same_synchronised_or_not(patch: tuple[int, ...]) -> None:
    image = random_image((5, 9, 7))
    alone, together = (
        predictor(Answerer(), patch=patch, axes=(0,), mode=mode).predict(image, "case")
        for mode in ("tile", "synchronised")
    )
    np.testing.assert_array_equal(together, alone)


def test_models_with_and_without_a_trajectory_are_averaged() -> None:
    image = random_image((5, 9, 7))
    first, second, both = (
        predictor(*models, patch=(4, 4, 4), axes=(0,), mode="synchronised").predict(image, "case")
        for models in ((Walker(of_place),), (Answerer(),), (Walker(of_place), Answerer()))
    )
    np.testing.assert_allclose(both, (first + second) / 2, atol=1e-6)


def test_a_model_that_takes_several_steps_by_itself_cannot_be_synchronised() -> None:
    both = predictor(Walker(pointwise), Answerer(steps=2), patch=(4, 4, 4), mode="synchronised")
    with pytest.raises(UserError, match="synchronised: Answerer takes its steps by itself"):
        both.predict(random_image((4, 4, 4)), "case")


@pytest.mark.parametrize(
    ("patch", "shape", "seen"),
    [((4, 4, 4), (5, 3, 9), (6, 4, 10)), ((4, 6), (3, 9, 5), (10, 6))],
)
def test_a_volume_is_padded_to_what_the_network_can_halve(
    patch: tuple[int, ...], shape: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    shapes: list[torch.Size] = []

    def look(patch: Tensor, x_t: Tensor, alpha_bar_t: float, previous: Tensor | None) -> Tensor:
        shapes.append(patch.shape[2:])
        return x_t.sigmoid()

    result = predictor(Walker(look), patch=patch, mode="volume").predict(random_image(shape), "case")
    assert result.shape == (K, *shape)
    assert set(shapes) == {torch.Size(seen)}


def test_a_volume_that_does_not_fit_is_refused_with_what_would() -> None:
    image = random_image((5, 9, 7))

    def needed(patches: int, patch: tuple[int, ...]) -> int:
        return 2**60

    with pytest.raises(UserError, match=r"Case 'a' needs about .* GB .*--mode synchronised or --mode tile"):
        predictor(Walker(pointwise), patch=(4, 4, 4), mode="volume", call_bytes=needed).predict(image, "a")
    predictor(Walker(pointwise), patch=(4, 4, 4), mode="tile", call_bytes=needed).predict(image, "a")


def test_rotated_mirrors_take_turns_over_samples() -> None:
    image = random_image((4, 6, 6))

    def run(sample: int, **window: Any) -> npt.NDArray[np.float32]:
        return predictor(Answerer(), patch=(4, 4, 4), axes=(0, 2), **window).predict(image, "case", sample=sample)

    turns = [run(sample, rotate_mirrors=True) for sample in range(5)]
    np.testing.assert_allclose(np.mean(turns[:4], axis=0), run(0), atol=1e-6)
    np.testing.assert_array_equal(turns[0], run(0, mirror_axes=()))
    np.testing.assert_array_equal(turns[4], turns[0])
    assert np.abs(turns[1] - turns[0]).max() > 0.01
