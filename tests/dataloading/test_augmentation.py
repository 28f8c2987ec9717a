"""nnU-Net's augmentation on our patches."""

import math

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.spatial import create_affine_matrix_2d, create_affine_matrix_3d
from scipy import ndimage

from autodiffseg.dataloading.augmentation import Augmentation, SpatialChange, intensity_transforms
from autodiffseg.dataloading.patch_sampling import read_box, widen
from autodiffseg.labels import OUTSIDE, UNKNOWN

TURN = SpatialChange(angles=(0.3, -0.5, 0.2), scale=1.2)


def blobs(shape, seed=0):
    """A smooth random image and its label map of 0, 1 and 2."""
    image = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    label = np.digitize(image, np.quantile(image, [0.5, 0.8]))
    return image.astype(np.float32), label.astype(np.int16)


def spatial_only(configuration):
    augmentation = Augmentation(configuration)
    augmentation._intensity.transforms = []
    return augmentation


def read(augmentation, image, label, box, change):
    box = widen(box, augmentation.margin(change))
    image = torch.from_numpy(read_box(image[None], box, padding=0))
    label = torch.from_numpy(read_box(label[None], box, padding=UNKNOWN))
    return augmentation(image, label, change)


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_a_turned_patch_is_what_scipy_makes_of_the_whole_case(configure, scale):
    image, label = blobs((50, 52, 54))
    change = TURN._replace(scale=scale)
    augmentation = spatial_only(configure(16, 20, 18))
    patch, _ = read(augmentation, image, label, ((17, 33), (16, 36), (20, 38)), change)
    affine = create_affine_matrix_3d(change.angles, [scale] * 3)
    centre = np.array([24.5, 25.5, 28.5])
    expected = ndimage.affine_transform(
        image, affine, centre - affine @ (np.array([15, 19, 17]) / 2), (16, 20, 18), order=1
    )
    np.testing.assert_allclose(patch[0], expected, atol=2e-5)


def test_margins_are_no_larger_than_needed():
    quarter = SpatialChange(angles=(0.0, 0.0, math.pi / 2), scale=1.0)

    class Square:
        patch_size = turned = (4, 10, 20)

    assert Augmentation.margin(Square(), quarter) == (3, -3, 0)  # matrix: 90 degrees about the last axis swap 4 and 10
    assert Augmentation.margin(Square(), quarter._replace(angles=(0.0, 0.0, 0.0), scale=0.7)) == (0, -1, -2)
    assert Augmentation.margin(Square(), None) == (0, 0, 0)


@pytest.mark.parametrize("patch", [(16, 20, 18), (24, 24), (4, 20, 20)])
def test_label_and_image_stay_aligned(configure, patch):
    _, label = blobs((30, 60, 60))
    augmentation = spatial_only(configure(*patch, mirror_axes=tuple(range(len(patch)))))
    rng = np.random.default_rng(0)
    sizes = (1,) * (3 - len(patch)) + patch
    box = tuple((8, 8 + size) for size in sizes)
    changed = 0
    for _ in range(30):
        change = augmentation.draw_spatial(rng)
        changed += change is not None
        wide = widen(box, augmentation.margin(change))
        crop = read_box(label[None], wide, padding=UNKNOWN)
        crop = crop[:, 0] if len(patch) == 2 else crop
        image, seg = augmentation(torch.from_numpy((crop == 1).astype(np.float32)), torch.from_numpy(crop), change)
        assert image.shape == seg.shape == (1, *patch)
        assert ((image > 0.5) == (seg == 1)).float().mean() > 0.95
    assert changed > 5


def test_a_patch_is_turned_or_scaled_as_often_as_in_nnunet(configure):
    augmentation = Augmentation(configure(16, 16, 16))
    rng = np.random.default_rng(0)
    drawn = [augmentation.draw_spatial(rng) for _ in range(5000)]
    turned = [change for change in drawn if change and any(change.angles)]
    scaled = [change.scale for change in drawn if change and change.scale != 1]
    assert len(turned) / 5000 == pytest.approx(0.2, abs=0.02)
    assert len(scaled) / 5000 == pytest.approx(0.2, abs=0.02)
    assert (min(scaled), max(scaled)) == pytest.approx((0.7, 1.4), abs=0.01)
    assert np.abs([change.angles for change in turned]).max() == pytest.approx(math.radians(30), rel=0.01)


@pytest.mark.parametrize(
    ("patch", "slicewise", "degrees"),
    [((16, 48, 48), False, 30), ((15, 48, 48), True, 180), ((48, 32), False, 180), ((49, 32), False, 15)],
)
def test_anisotropic_and_long_patches_follow_nnunets_rules(configure, patch, slicewise, degrees):
    augmentation = Augmentation(configure(*patch))
    assert augmentation.slicewise is slicewise
    assert math.degrees(augmentation.largest_angle) == pytest.approx(degrees)


def test_slicewise_changes_keep_every_slice_and_turn_in_its_plane(configure):
    image, label = blobs((6, 60, 60))
    image += np.arange(6, dtype=np.float32)[:, None, None]
    change = SpatialChange(angles=(0.4, 0.7), scale=0.9)
    augmentation = spatial_only(configure(5, 20, 20))
    assert augmentation.margin(change)[0] == 0
    patch, seg = read(augmentation, image, label, ((1, 6), (20, 40), (20, 40)), change)
    affine = create_affine_matrix_2d(0.7, [0.9] * 2)
    offset = 29.5 - affine @ np.array([9.5, 9.5])
    for z in range(5):
        expected = ndimage.affine_transform(image[z + 1], affine, offset, (20, 20), order=1)
        np.testing.assert_allclose(patch[0, z], expected, atol=2e-5)
    assert seg.shape == (1, 5, 20, 20)


@pytest.mark.parametrize("axes", [(), (1,), (0, 2)])
def test_only_the_allowed_axes_are_mirrored(configure, axes):
    augmentation = spatial_only(configure(4, 5, 6, mirror_axes=axes))
    seen = set()
    torch.manual_seed(0)
    for _ in range(60):
        positions = torch.from_numpy(np.indices((4, 5, 6)).astype(np.float32))
        image, _ = augmentation(positions, torch.zeros((1, 4, 5, 6), dtype=torch.int16), None)
        seen.add(tuple(axis for axis in range(3) if image[axis, 0, 0, 0] != 0))
    assert len(seen) == 2 ** len(axes)
    assert set().union(*seen) == set(axes)


def test_what_rotation_brings_in_from_outside_is_unknown(configure):
    image, label = blobs((16, 16, 16))
    augmentation = spatial_only(configure(16, 16, 16))
    patch, seg = read(augmentation, image + 5, label, ((0, 16),) * 3, SpatialChange((0.5, 0.5, 0.5), 1.4))
    outside = (seg == UNKNOWN)[0].numpy()
    assert 0.2 < outside.mean() < 0.9
    assert np.abs(patch[0].numpy()[ndimage.binary_erosion(outside)]).max() == 0
    assert seg.unique().tolist() == [UNKNOWN, 0, 1, 2]


def test_a_patch_read_without_its_margin_is_unknown_where_it_lacks_voxels(configure):
    image, label = torch.ones(1, 16, 16, 16), torch.ones((1, 16, 16, 16), dtype=torch.int16)
    _, seg = spatial_only(configure(16, 16, 16))(image, label, SpatialChange((0.0, 0.0, 0.0), 1.4))
    assert seg.unique().tolist() == [UNKNOWN, 1]


def every_time(augmentation):
    for transform in augmentation._intensity.transforms:
        transform.apply_probability = 1
    return augmentation


def test_outside_becomes_background_and_stays_dark_where_the_mask_is_used(configure):
    label = np.full((1, 8, 8, 8), OUTSIDE, np.int16)
    label[0, :4] = 1
    label[0, 7] = UNKNOWN
    image = np.ones((2, 8, 8, 8), np.float32)
    configuration = configure(8, 8, 8, channels=2)
    channels = (configuration.normalisation[0].model_copy(update={"use_mask": True}), configuration.normalisation[1])
    augmentation = every_time(Augmentation(configuration.model_copy(update={"normalisation": channels})))
    result, seg = augmentation(torch.from_numpy(image), torch.from_numpy(label), None)
    assert seg[0, :4].eq(1).all()
    assert seg[0, 4:7].eq(0).all()
    assert seg[0, 7].eq(UNKNOWN).all()
    assert result[0, 4:].abs().max() == 0
    assert result[1, 4:].abs().min() > 0


@pytest.mark.parametrize("patch", [(1, 2), (3, 9), (1, 2, 3), (2, 9, 9), (8, 8, 8)])
def test_every_transform_works_on_thin_patches(configure, patch):
    augmentation = every_time(Augmentation(configure(*patch, channels=3)))
    image, _ = augmentation(torch.randn(3, *patch), torch.zeros((1, *patch), dtype=torch.int16), None)
    assert image.shape == (3, *patch)
    assert image.isfinite().all()


def test_the_list_has_nnunets_order_and_probabilities():
    transforms = intensity_transforms((8, 8, 8), slicewise=False)
    assert [(type(step.transform).__name__, step.apply_probability) for step in transforms] == [
        ("GaussianNoiseTransform", 0.1),
        ("GaussianBlurTransform", 0.2),
        ("MultiplicativeBrightnessTransform", 0.15),
        ("ContrastTransform", 0.15),
        ("SimulateLowResolutionTransform", 0.25),
        ("GammaTransform", 0.1),
        ("GammaTransform", 0.3),
    ]
    assert not transforms[1].transform.benchmark
