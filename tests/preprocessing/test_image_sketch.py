"""Sketches: the same image at another size is known, others are not."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from autodiffseg.preprocessing.image_sketch import fields, find_same, sketch


def smooth(seed: int, *shape: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, [2 if length > 1 else 0 for length in shape])[None].astype(np.float32)


def test_fields_are_means_of_equal_parts_as_whole_numbers() -> None:
    levels = np.random.default_rng(0).normal(size=(16, 16))
    levels = (levels - levels.mean()) / levels.std()
    image = np.kron(levels, np.ones((3, 5)))[None, None].astype(np.float32)
    image[..., ::3, :] += 0.5
    image[..., 1::3, :] -= 0.5
    np.testing.assert_array_equal(fields(sketch(7 * image + 3)), np.rint(levels * 32).ravel())


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 37, 90), (1, 3, 5), (8, 8, 8), (2, 31, 9)])
def test_fields_of_any_shape_follow_the_definition(shape: tuple[int, int, int]) -> None:
    image = smooth(1, *shape)
    grid = (1, 16, 16) if shape[0] == 1 else (8, 8, 8)
    means = image[0].astype(np.float64)
    for axis, (length, parts) in enumerate(zip(shape, grid, strict=True)):
        fine = np.moveaxis(np.repeat(means, parts, axis), axis, -1)  # each voxel in as many parts as there are fields
        means = np.moveaxis(fine.reshape(*fine.shape[:-1], parts, length).mean(-1), -1, axis)
    expected = np.clip(np.rint((means - means.mean()) / means.std() * 32), -127, 127)
    assert np.abs(expected.ravel() - fields(sketch(image))).max() <= 1  # halves may be rounded either way


def test_extremes_are_cut_and_constant_images_are_zeros() -> None:
    image = np.zeros((1, 1, 16, 16), np.float32)
    assert set(fields(sketch(image)).tolist()) == {0}
    image[0, 0, 3, 4] = 1
    assert max(fields(sketch(image))) == 127


def test_a_resized_copy_is_found_among_others() -> None:
    images = {str(seed): smooth(seed, 1, 60, 70) for seed in range(20)}
    copy = ndimage.zoom(images["7"], (1, 1, 1.4, 1.1), order=1) * 3 - 2
    (found,) = find_same({"copy": sketch(copy)}, {name: sketch(image) for name, image in images.items()})
    assert (found.image, found.other) == ("copy", "7")
    assert 0.995 < found.correlation < 1
    assert find_same({"other": sketch(smooth(99, 1, 60, 70))}, {"7": sketch(images["7"])}) == []


@pytest.mark.parametrize("shape", [(1, 60, 70), (20, 30, 25)])
@pytest.mark.parametrize("change", ["mirrored", "negative", "both"])
def test_a_mirrored_copy_and_a_negative_are_found(shape: tuple[int, int, int], change: str) -> None:
    images = {str(seed): smooth(seed, *shape) for seed in range(20)}
    copy = images["7"] if change == "negative" else np.flip(images["7"], (1, 3))
    copy = copy if change == "mirrored" else 5 - copy
    (found,) = find_same({"copy": sketch(copy)}, {name: sketch(image) for name, image in images.items()})
    assert found.other == "7"
    assert found.correlation == pytest.approx(1 if change == "mirrored" else -1, abs=1e-3)
    assert find_same({"turned": sketch(images["7"].swapaxes(2, 3))}, {"7": sketch(images["7"])}) == []


def test_slices_and_volumes_may_be_looked_for_together() -> None:
    images = {"slice": sketch(smooth(0, 1, 40, 40)), "volume": sketch(smooth(1, 9, 40, 40))}
    found = find_same({**images, "other": sketch(smooth(2, 1, 40, 40))}, images)
    assert [(one.image, one.other) for one in found] == [("slice", "slice"), ("volume", "volume")]
    assert find_same({"volume": images["volume"]}, {"slice": images["slice"]}) == []


def test_a_large_volume_is_sketched_without_copies_of_it() -> None:
    image = np.zeros((1, 64, 128, 128), np.float32)
    tracemalloc.start()
    sketch(image)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < image.nbytes / 4


def test_a_constant_image_is_like_nothing_and_nothing_is_found_among_none() -> None:
    zeros = sketch(np.zeros((1, 1, 20, 20), np.float32))
    assert find_same({"a": zeros}, {"b": zeros}) == []
    assert find_same({"a": zeros}, {}) == []


def test_a_large_pool_is_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodiffseg.preprocessing.image_sketch.ROWS", 2)
    sketches = {str(seed): sketch(smooth(seed, 1, 40, 40)) for seed in range(5)}
    assert [(one.image, one.other) for one in find_same(sketches, sketches)] == [(name, name) for name in sketches]
