"""Batches of images without labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from autodiffseg.dataloading.batches import batch_stream
from autodiffseg.dataloading.image_batches import ImageBatchSource
from autodiffseg.errors import UserError
from autodiffseg.labels import UNKNOWN
from autodiffseg.preprocessing.image_store import ImageProperties, ImageStore


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., ImageStore]:
    """Write images into a store, called a, b, …."""

    def write(*images: np.ndarray) -> ImageStore:
        made = ImageStore(tmp_path)
        for name, image in zip("abc", images, strict=False):
            array = image.astype(np.float32)
            made.write(ImageProperties.of(name, array, (1.0, 1.0, 1.0)), array)
        return made

    return write


@pytest.fixture
def noise() -> list[np.ndarray]:
    """Three images of two channels and different shapes."""
    rng = np.random.default_rng(0)
    return [rng.normal(3, 1, (2, *shape)) for shape in ((20, 22, 24), (14, 30, 17), (26, 19, 21))]


def test_batches_are_pure_and_the_same_from_workers(store, noise, configure):
    configuration = configure(16, 16, 16, channels=2, mirror_axes=(0, 1, 2))
    source = ImageBatchSource(store(*noise), "abc", configuration, seed=3)
    expected = [source.batch(n) for n in (4, 3, 2, 1, 0)][::-1]
    assert expected[0].image.shape == (2, 2, 16, 16, 16)
    assert expected[0].label.dtype == torch.int16
    with batch_stream(source, start=0, stop=5, workers=2) as batches:
        for batch, other in zip(batches, expected, strict=True):
            assert torch.equal(batch.image, other.image)
            assert torch.equal(batch.label, other.label)
            assert batch.cases == other.cases


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_the_label_is_zero_on_the_image_and_unknown_beyond_it(store, configure, strength):
    configuration = configure(20, 20, 20, batch_size=4)
    source = ImageBatchSource(store(np.full((1, 14, 30, 17), 5.0)), "a", configuration, seed=0, strength=strength)
    for n in range(8):
        batch = source.batch(n)
        assert set(batch.label.unique().tolist()) == {UNKNOWN, 0}
        if strength == 0:
            assert (batch.label == 0).sum() == 4 * 14 * 20 * 17
            assert batch.image[:, 0][batch.label == UNKNOWN].abs().max() == 0
        assert batch.image[:, 0][batch.label == 0].min() > 2


def test_without_strength_patches_are_cut_from_the_image_as_it_is(store, configure):
    image = np.arange(5 * 6 * 7, dtype=np.float32).reshape(1, 5, 6, 7)
    source = ImageBatchSource(store(image), "a", configure(4, 4, batch_size=3), seed=0, strength=0)
    patches = torch.cat([source.batch(n).image[:, 0] for n in range(20)])
    assert set((patches[:, 0, 0] // 42).int().tolist()) == set(range(5))
    assert (patches[:, 1:] - patches[:, :-1] == 7).all()
    assert (patches[:, :, 1:] - patches[:, :, :-1] == 1).all()


def test_images_are_equally_likely_whatever_their_size(store, configure):
    images = [np.full((1, 8, 8, 8), 1.0), np.full((1, 40, 40, 40), 2.0)]
    source = ImageBatchSource(store(*images), "ab", configure(8, 8, 8, batch_size=8), seed=0, strength=0)
    drawn = [case for n in range(60) for case in source.batch(n).cases]
    assert drawn.count("a") / len(drawn) == pytest.approx(0.5, abs=0.08)


def test_no_images_are_refused(store, noise, configure):
    with pytest.raises(UserError, match="no cases"):
        ImageBatchSource(store(*noise), "", configure(8, 8, 8, channels=2), seed=0)


@pytest.fixture
def reads(monkeypatch):
    """The images that have been opened, in order."""
    names, read = [], ImageStore.image
    monkeypatch.setattr(ImageStore, "image", lambda self, name: names.append(name) or read(self, name))
    return names


def test_kept_images_are_not_read_again_and_change_no_batch(store, noise, configure, reads, monkeypatch):
    made, configuration = store(*noise), configure(16, 16, 16, channels=2, mirror_axes=(0, 1, 2))

    def batches(room):
        monkeypatch.setattr("autodiffseg.dataloading.image_batches.KEPT_BYTES", room)
        source = ImageBatchSource(made, "abc", configuration, seed=3)
        reads.clear()
        return [source.batch(n) for n in range(12)]

    expected = batches(0)
    drawn = [case for batch in expected for case in batch.cases]
    assert sorted(set(reads)) == sorted(set(drawn)) == list("abc")
    assert len(reads) >= len(drawn)
    assert all(torch.equal(one.image, other.image) for one, other in zip(batches(2**26), expected, strict=True))
    assert sorted(reads) == list("abc")
    sizes = [image.size * 4 for image in noise]
    batches(sum(sizes) - 1)  # no room for the last that is drawn
    last = max("abc", key=drawn.index)
    assert [reads.count(name) for name in "abc"] == [drawn.count(name) if name == last else 1 for name in "abc"]


def test_large_images_are_not_kept(store, noise, configure, reads, monkeypatch):
    monkeypatch.setattr("autodiffseg.dataloading.image_batches.SMALL_BYTES", noise[0].size * 4 - 1)
    source = ImageBatchSource(store(*noise[:1]), "a", configure(16, 16, 16, channels=2), seed=3)
    source.batch(0)
    assert reads == ["a", "a"]  # one for each sample
