"""The sliding window against direct computation, with models that are plain functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autodiffseg.errors import UserError
from autodiffseg.inference.noise_field import NoiseField
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.inference.window_options import WindowOptions
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan
from autodiffseg.sampling import NoiseSource, Sampling

CPU = torch.device("cpu")
K = 3


def configuration(patch: tuple[int, ...], mirror_axes: tuple[int, ...] | None = None) -> ConfigurationPlan:
    ones = (1,) * len(patch)
    network = NetworkPlan(
        features=(4, 4), kernels=(ones, ones), strides=(ones, ones), encoder_blocks=(1, 1), decoder_blocks=(1,)
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
        mirror_axes=tuple(range(len(patch))) if mirror_axes is None else mirror_axes,
    )


class Fake:
    """A model that is a function of patch and noise, with as many steps as it is told; it counts its batches."""

    def __init__(self, function: Callable[[Tensor, NoiseSource, int], Tensor], *, steps: int = 1) -> None:
        self.function = function
        self.steps = steps
        self.batches: list[int] = []

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        assert not torch.is_grad_enabled()
        self.batches.append(len(patch))
        for step in range(self.steps):
            yield self.function(patch, noise, step)


def of_image(patch: Tensor, noise: NoiseSource, step: int = 0) -> Tensor:
    """Pointwise softmax of the first channel."""
    return torch.softmax(torch.stack([patch[:, 0] * k + step for k in (0.0, 1.0, -2.0)], dim=1), dim=1)


def of_noise(patch: Tensor, noise: NoiseSource, step: int = 0) -> Tensor:
    """Pointwise in image and in the noise of two steps."""
    return torch.softmax(noise(step, K) + patch[:, :1] * noise(step + 1, K), dim=1)


def ramp(patch: Tensor) -> Tensor:
    """Another number for every place in a patch."""
    axes = torch.meshgrid(*[torch.arange(size) for size in patch.shape[2:]], indexing="ij")
    return sum((axis * (1 + n) / len(axis) for n, axis in enumerate(axes)), torch.zeros(()))


def of_place(patch: Tensor, noise: NoiseSource, step: int = 0) -> Tensor:
    """Depends on the place in the patch and on the side it is seen from: shows weights and mirrors."""
    return torch.softmax(torch.stack([patch[:, 0] * ramp(patch) * k for k in (1.0, 2.0, -1.0)], dim=1), dim=1)


def of_everything(patch: Tensor, noise: NoiseSource, step: int = 0) -> Tensor:
    """Image, noise and place, by products alone: vectorised code gives them alike in any batch, unlike softmax."""
    return patch[:, :1] * noise(step, K) * ramp(patch)


def predictor(
    *models: Fake, patch: tuple[int, ...] = (4, 5, 6), axes: tuple[int, ...] | None = None, **options: object
):  # type: ignore[no-untyped-def]
    window = {name: options.pop(name) for name in ("step_size", "patches", "mirror_axes") if name in options}
    settings = {"channels": K, "device": CPU, "sampling": Sampling(), "options": WindowOptions(**window)} | options
    return CasePredictor(models, configuration(patch, axes), **settings)  # type: ignore[arg-type]


def random_image(shape: tuple[int, ...], channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(channels, *shape)).astype(np.float32)


sizes = st.tuples(*[st.integers(1, 11)] * 3)
patches = st.tuples(*[st.integers(1, 7)] * 3).filter(lambda patch: max(patch) > 1)
options = st.fixed_dictionaries(
    {"step_size": st.floats(0.3, 1.0), "mirror_axes": st.sampled_from([None, (), (1,)]), "patches": st.integers(1, 20)}
)


@settings(max_examples=30)
@given(shape=sizes, patch=patches, chosen=options)
def test_a_pointwise_model_gives_what_it_gives_without_windows(
    shape: tuple[int, ...], patch: tuple[int, ...], chosen: dict[str, float]
) -> None:
    image = random_image(shape)
    direct = of_image(torch.from_numpy(image)[None], None)[0].numpy()  # type: ignore[arg-type]
    result = predictor(Fake(of_image), patch=patch, **chosen).predict(image, "case")
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, direct, atol=1e-6)


@settings(max_examples=30)
@given(shape=sizes, patch=patches, chosen=options)
def test_noise_is_one_field_for_all_windows_and_mirrors(
    shape: tuple[int, ...], patch: tuple[int, ...], chosen: dict[str, float]
) -> None:
    image = random_image(shape)
    field = NoiseField("case", seed=7)

    def whole(step: int, channels: int) -> Tensor:
        return field.window(step, channels, origin=(0, 0, 0), shape=shape, device=CPU)[None]

    direct = of_noise(torch.from_numpy(image)[None], whole)[0].numpy()
    result = predictor(Fake(of_noise), patch=patch, seed=7, **chosen).predict(image, "case")
    np.testing.assert_allclose(result, direct, atol=2e-6)


def test_the_result_is_the_weighted_mean_over_windows_and_mirrors() -> None:
    image = random_image((4, 7, 6))
    total, weights = np.zeros((K, 4, 7, 6)), np.zeros((4, 7, 6))
    for y in (0, 2):  # 7 voxels, patches of 5 at most 2.5 apart
        window = np.s_[0:4, y : y + 5, 0:6]
        places = [(np.arange(size) - (size - 1) / 2) / (size / 8) for size in (4, 5, 6)]
        weight = np.exp(-0.5 * sum(np.ix_(*[place**2 for place in places])))  # type: ignore[call-overload]
        weight = np.maximum(weight / weight.max(), 1e-3)
        for chosen in itertools.product((False, True), repeat=2):
            axes = [axis for axis, yes in zip((0, 2), chosen, strict=True) if yes]
            patch = np.flip(image[0][window], axes).copy()
            answer = of_place(torch.from_numpy(patch)[None, None], None)[0].numpy()  # type: ignore[arg-type]
            total[:, *window] += np.flip(answer, [axis + 1 for axis in axes]) * weight / 4
        weights[window] += weight
    result = predictor(Fake(of_place), axes=(0, 2)).predict(image, "case")
    np.testing.assert_allclose(result, total / weights, atol=1e-6)


def test_batches_change_no_bit_and_hold_no_more_than_asked_for() -> None:
    image = random_image((9, 5, 13))
    results = []
    for size in (1, 3, 8, 20, 1000):
        fake = Fake(of_everything)
        results.append(predictor(fake, patches=size).predict(image, "case"))
        assert max(fake.batches) <= size
        assert sum(fake.batches) == 4 * 1 * 4 * 8
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_models_are_averaged_as_probabilities() -> None:
    sure = Fake(
        lambda patch, noise, step: (
            torch.tensor([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1, 1).expand(*(len(patch), 3, 4, 5, 6))
        )
    )
    other = Fake(
        lambda patch, noise, step: (
            torch.tensor([0.6, 0.0, 0.4]).reshape(1, 3, 1, 1, 1).expand(*(len(patch), 3, 4, 5, 6))
        )
    )
    result = predictor(sure, other).predict(random_image((4, 5, 8)), "case")
    np.testing.assert_allclose(result[:, 2, 2, 2], [0.3, 0.5, 0.2], atol=1e-6)


def test_models_see_the_same_noise() -> None:
    image = random_image((4, 5, 8))
    one = predictor(Fake(of_noise)).predict(image, "case")
    two = predictor(Fake(of_noise), Fake(of_noise)).predict(image, "case")
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_case_has_its_noise_by_name_seed_and_sample() -> None:
    image = random_image((4, 5, 8))
    first = predictor(Fake(of_noise)).predict(image, "case")
    np.testing.assert_array_equal(predictor(Fake(of_noise)).predict(image, "case"), first)
    others = [
        predictor(Fake(of_noise)).predict(image, "other"),
        predictor(Fake(of_noise), seed=1).predict(image, "case"),
        predictor(Fake(of_noise)).predict(image, "case", sample=1),
    ]
    assert all(np.abs(other - first).max() > 0.1 for other in others)


def test_every_step_is_summed_over_all_windows() -> None:
    image = random_image((9, 7, 6))
    every = predictor(Fake(of_noise, steps=3)).predict_every_step(image, "case")
    assert every.shape == (3, K, 9, 7, 6)
    for step in range(3):
        alone = Fake(lambda patch, noise, _, step=step: of_noise(patch, noise, step))  # type: ignore[misc]
        np.testing.assert_array_equal(every[step], predictor(alone).predict(image, "case"))
    np.testing.assert_array_equal(every[2], predictor(Fake(of_noise, steps=3)).predict(image, "case"))


@pytest.mark.parametrize("patches", [1, 5, 64])
def test_a_2d_configuration_predicts_slice_by_slice(patches: int) -> None:
    image = random_image((5, 9, 3), channels=2)  # smaller than the patch along x
    settings = {"patch": (6, 5), "patches": patches}
    result = predictor(Fake(of_place), **settings).predict(image, "case")
    for index in range(5):
        single = predictor(Fake(of_place), patch=(6, 5)).predict(image[:, index : index + 1], "case")
        np.testing.assert_allclose(result[:, index], single[:, 0], atol=1e-6)


def test_slices_of_a_2d_configuration_have_different_noise() -> None:
    image = np.ones((1, 3, 8, 8), dtype=np.float32)
    result = predictor(Fake(of_noise), patch=(8, 8)).predict(image, "case")
    assert np.abs(result[:, 0] - result[:, 1]).max() > 0.1


def test_padding_is_zero_and_cut_off() -> None:
    seen = []

    def look(patch: Tensor, noise: NoiseSource, step: int) -> Tensor:
        seen.append(patch.clone())
        return of_image(patch, noise)

    result = predictor(Fake(look), mirror_axes=()).predict(np.ones((1, 4, 2, 6), dtype=np.float32), "case")
    assert result.shape == (K, 4, 2, 6)
    assert seen[0][0, 0, 0, :, 0].tolist() == [0, 1, 1, 0, 0]


def test_mirror_axes_that_are_asked_for_take_the_place_of_the_plans() -> None:
    image = random_image((4, 7, 6))
    planned = predictor(Fake(of_place), axes=(0, 2)).predict(image, "case")
    np.testing.assert_array_equal(
        predictor(Fake(of_place), axes=(1,), mirror_axes=(2, 0)).predict(image, "case"), planned
    )
    assert np.abs(predictor(Fake(of_place), axes=(0, 2), mirror_axes=()).predict(image, "case") - planned).max() > 0.01


@pytest.mark.parametrize("axes", [(3,), (-1,), (1, 1)])
def test_mirror_axes_that_a_patch_does_not_have_are_refused(axes: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=f"--mirror-axes {','.join(map(str, axes))}: .* axes 0 to 2"):
        predictor(Fake(of_image), mirror_axes=axes)


def test_output_that_is_not_finite_is_refused() -> None:
    broken = Fake(lambda patch, noise, step: torch.full((len(patch), K, 4, 5, 6), torch.nan))
    with pytest.raises(UserError, match=r"case_7.*not finite"):
        predictor(broken).predict(random_image((4, 5, 6)), "case_7")


def test_output_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted are probabilities"):
        predictor(Fake(lambda patch, noise, step: patch)).predict(random_image((4, 5, 6)), "case")


def test_models_of_different_length_cannot_be_averaged_step_by_step() -> None:
    both = predictor(Fake(of_image), Fake(of_image, steps=2))
    with pytest.raises(ValueError, match="1 and 2 steps"):
        both.predict_every_step(random_image((4, 5, 6)), "case")
    assert both.predict(random_image((4, 5, 6)), "case").shape == (K, 4, 5, 6)


@pytest.mark.parametrize("wrong", [{"step_size": 0.0}, {"step_size": 1.5}, {"patches": 0}])
def test_options_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needed are"):
        predictor(Fake(of_image), **wrong)
