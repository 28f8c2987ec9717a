"""Light augmentation: what it changes, how far, and what it never touches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from autodiffseg.dataloading.light_augmentation import BRIGHTNESS, CONTRAST, SCALING, LightAugmentation
from autodiffseg.dataloading.seeding import seeded_libraries
from autodiffseg.labels import UNKNOWN


@pytest.mark.parametrize("strength", [1.0, 2.5])
def test_scales_lie_evenly_within_the_range_and_nothing_is_turned(configure, strength):
    augmentation = LightAugmentation(configure(16, 16), strength)
    rng = np.random.default_rng(0)
    changes = [augmentation.draw_spatial(rng) for _ in range(3000)]
    drawn = [change for change in changes if change is not None]
    logs = np.array([math.log(change.scale) for change in drawn]) / (strength * math.log(SCALING))
    assert len(drawn) / len(changes) == pytest.approx(0.2, abs=0.03)
    assert all(not any(change.angles) for change in drawn)
    assert 0.97 < logs.max() <= 1
    assert -1 <= logs.min() < -0.97
    assert abs(logs.mean()) < 0.08


def intensities(augmentation, image, label, times):
    results = []
    for n in range(times):
        with seeded_libraries(0, n):
            results.append(augmentation(image.clone(), label.clone(), None)[0])
    return torch.stack(results)


def test_contrast_and_brightness_are_a_line_for_each_channel_within_the_range(configure):
    image, label = torch.randn(2, 12, 12), torch.zeros(1, 12, 12, dtype=torch.int16)
    changed = intensities(LightAugmentation(configure(12, 12, channels=2), 1.0), image, label, 300)
    x = image.flatten(1)
    y = changed.flatten(2)  # (n, C, voxels)
    centred = x - x.mean(1, keepdim=True)
    factor = (y * centred).sum(2) / (centred**2).sum(1)
    shift = y.mean(2) - factor * x.mean(1)
    assert torch.allclose(factor[..., None] * x + shift[..., None], y, atol=1e-5)
    assert factor.max() <= CONTRAST + 1e-4
    assert factor.min() >= 1 / CONTRAST - 1e-4
    assert factor.max() > 1.08
    assert BRIGHTNESS * 0.9 < shift.abs().max() <= BRIGHTNESS + 1e-4
    assert abs(np.corrcoef(shift[:, 0], shift[:, 1])[0, 1]) < 0.2  # channels on their own
    assert abs(np.corrcoef(factor[:, 0], shift[:, 0])[0, 1]) < 0.2


def test_padding_and_what_lies_outside_a_mask_stay_zero(configure):
    image, label = torch.ones(2, 10, 10), torch.zeros(1, 10, 10, dtype=torch.int16)
    image[0, :3] = 0  # outside the mask in both channels, only the first of which is masked
    image[1, :3] = 0
    label[:, :, 8:] = UNKNOWN
    configuration = configure(10, 10, channels=2, use_mask=True)
    first, second = configuration.normalisation
    mixed = configuration.model_copy(update={"normalisation": (first, second.model_copy(update={"use_mask": False}))})
    changed = intensities(LightAugmentation(mixed, 1.0), image, label, 5)
    assert changed[:, 0, :3].abs().max() == 0
    assert changed[:, 1, :3, :8].abs().min() > 0
    assert changed[:, 0, :, 8:].abs().max() == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_only_the_axes_of_the_plan_are_mirrored(configure, axis):
    image = torch.arange(64.0).reshape(1, 8, 8)
    augmentation = LightAugmentation(configure(8, 8, mirror_axes=(axis,)), 0.0)
    results = intensities(augmentation, image, torch.zeros(1, 8, 8, dtype=torch.int16), 20)
    mirrored = image.flip(axis + 1)
    kinds = {(torch.equal(result, image), torch.equal(result, mirrored)) for result in results}
    assert kinds == {(True, False), (False, True)}
