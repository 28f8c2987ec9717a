"""Tests of the phantom's maths: a threshold fails on it, its neighbourhoods tell, and it is the same every time."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from autodiffseg.dataset_conversion.phantom_images import CORE, SHELL, Phantom, make_phantom, rician, smooth_noise

SHAPE, SPACING = (40, 48, 40), (1.2, 1.0, 1.0)
FLAT_SHAPE, FLAT_SPACING = (1, 96, 96), (1.0, 1.0, 1.0)


def volume(number: int) -> Phantom:
    return make_phantom(np.random.default_rng([0, number]), SHAPE, SPACING)


def flat(number: int) -> Phantom:
    return make_phantom(np.random.default_rng([0, number]), FLAT_SHAPE, FLAT_SPACING)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * np.sum(first & second) / (np.sum(first) + np.sum(second)))


def best_band(image: np.ndarray, target: np.ndarray) -> float:
    """The best Dice that two thresholds chosen with the label in hand can reach."""
    levels = np.quantile(image, np.linspace(0, 1, 33))
    bands = [(low, high) for index, low in enumerate(levels) for high in levels[index + 1 :]]
    return max(dice((image >= low) & (image <= high), target) for low, high in bands)


def features(image: np.ndarray) -> np.ndarray:
    """What a small neighbourhood looks like: blurs, extremes and edges at several scales; `(voxels, features)`."""
    plane = image[0]
    maps = [ndimage.gaussian_filter(plane, scale) for scale in (0.5, 1, 2, 4, 7)]
    maps += [ndimage.maximum_filter(maps[1], 7), ndimage.minimum_filter(maps[1], 7)]
    maps += [ndimage.gaussian_laplace(plane, scale) for scale in (2, 3, 5)]
    maps += list(np.meshgrid(*(np.linspace(-1, 1, size) for size in plane.shape), indexing="ij"))
    return np.stack([entry.ravel() for entry in maps], axis=1)


@pytest.mark.parametrize("make", [volume, flat])
def test_no_two_thresholds_solve_it(make: object) -> None:
    assert callable(make)
    cases = [make(number) for number in range(6)]
    for target in (lambda label: label == CORE, lambda label: label == SHELL, lambda label: label > 0):
        assert np.mean([best_band(case.image, target(case.label)) for case in cases]) < 0.6


@pytest.mark.slow
def test_neighbourhoods_tell_where_the_label_is() -> None:
    picks = np.random.default_rng(0)
    samples, values = [], []
    for number in range(8):
        case = flat(number)
        chosen = picks.choice(case.label.size, 3000, replace=False)
        samples.append(features(case.image)[chosen])
        values.append(case.label.ravel()[chosen])
    forest = RandomForestClassifier(30, min_samples_leaf=5, random_state=0)
    forest.fit(np.concatenate(samples), np.concatenate(values))
    unseen = [flat(number) for number in range(20, 25)]
    found = [forest.predict(features(case.image)).reshape(case.label.shape) for case in unseen]
    learnt = np.mean([dice(answer > 0, case.label > 0) for answer, case in zip(found, unseen, strict=True)])
    bands = np.mean([best_band(case.image, case.label > 0) for case in unseen])
    assert learnt > 0.65
    assert learnt > bands + 0.2


def test_the_same_generator_gives_the_same_case_and_another_does_not() -> None:
    assert np.array_equal(volume(3).image, volume(3).image)
    assert np.array_equal(volume(3).label, volume(3).label)
    assert not np.array_equal(volume(3).label, volume(4).label)


def test_both_classes_are_there_and_the_core_lies_in_the_shell() -> None:
    for number in range(4):
        label = volume(number).label
        assert set(np.unique(label)) == {0, CORE, SHELL}
        core = label == CORE
        around = ndimage.binary_dilation(core) & ~core
        assert np.mean(label[around] == SHELL) > 0.5
        assert ndimage.label(label > 0)[1] <= 3  # one structure; a few cut-off voxels at most


def test_the_two_classes_have_look_alikes_outside() -> None:
    # Voxels as bright as the core (within the noise) are more often outside than inside.
    for number in range(4):
        case = volume(number)
        for value in (CORE, SHELL):
            low, high = np.quantile(case.image[case.label == value], (0.25, 0.75))
            alike = (case.image >= low) & (case.image <= high)
            assert np.sum(alike & (case.label == 0)) > np.sum(alike & (case.label == value))


def test_structures_are_as_large_in_mm_on_every_grid() -> None:
    # The same generator on a grid of half the slices covers the same millimetres, up to sampling.
    fine = [make_phantom(np.random.default_rng(n), (48, 48, 48), (1.0, 1.0, 1.0)) for n in range(8)]
    coarse = [make_phantom(np.random.default_rng(n), (24, 48, 48), (2.0, 1.0, 1.0)) for n in range(8)]
    sizes = [np.mean([np.mean(case.label > 0) for case in cases]) for cases in (fine, coarse)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.3)


def test_smooth_noise_has_its_moments_and_its_scale() -> None:
    field = smooth_noise(np.random.default_rng(0), (1, 400, 400), (9.0, 8.0, 20.0))
    assert field.mean() == pytest.approx(0, abs=1e-12)
    assert field.std() == pytest.approx(1)
    # Bumps of standard deviation s correlate as exp(-d² / 4 s²), s = 0.8 nodes; here over one node along each axis.
    for axis, step in ((1, 8), (2, 20)):
        first = np.take(field, range(400 - step), axis)
        second = np.take(field, range(step, 400), axis)
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] == pytest.approx(np.exp(-1 / (4 * 0.64)), abs=0.1)


def test_rician_noise_has_the_moments_of_rice() -> None:
    # E[m²] = a² + 2 σ²; without signal the mean is that of Rayleigh, σ √(π / 2).
    generator = np.random.default_rng(0)
    bright = rician(generator, np.full(200_000, 30.0), 8.0)
    dark = rician(generator, np.zeros(200_000), 8.0)
    assert np.mean(bright**2) == pytest.approx(30.0**2 + 2 * 64, rel=0.01)
    assert np.mean(dark) == pytest.approx(8 * np.sqrt(np.pi / 2), rel=0.01)
    assert dark.min() >= 0


def test_edges_have_partial_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without noise and bias the core is flat; at its border voxels lie between core and shell.
    from autodiffseg.dataset_conversion import phantom_images

    monkeypatch.setattr(phantom_images, "NOISE", 0.0)
    monkeypatch.setattr(phantom_images, "BIAS", 0.0)
    case = volume(0)
    core = case.label == CORE
    deep, border = ndimage.binary_erosion(core, iterations=2), core & ~ndimage.binary_erosion(core)
    np.testing.assert_allclose(case.image[deep], phantom_images.CORE_INTENSITY)
    between = (case.image[border] > 90) & (case.image[border] < 130)
    assert between.mean() > 0.3
