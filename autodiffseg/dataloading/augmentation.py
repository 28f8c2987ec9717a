"""nnU-Net's augmentation: its transforms, order and probabilities, with the transforms of batchgeneratorsv2.

Source of the list and its numbers: Isensee et al., Nature Methods 2021, and nnU-Net v2.8.1 (nnUNetTrainer).

Rotation and scaling are drawn here, before anything is read. So only what the patch really needs is read and
interpolated: nothing extra for the two samples in three that are neither turned nor scaled, where nnU-Net always
reads a patch enlarged for the worst case (4 times the voxels for 128^3).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import (
    SpatialTransform,
    create_affine_matrix_2d,
    create_affine_matrix_3d,
)
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.nnunet_masking import MaskImageTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform
from numpy.random import Generator
from torch import Tensor

from autodiffseg.labels import OUTSIDE, UNKNOWN
from autodiffseg.plans import ConfigurationPlan

ROTATION_PROBABILITY = 0.2
SCALING_PROBABILITY = 0.2
SCALING = (0.7, 1.4)
"""Voxels of the case per voxel of the patch: above 1 makes things smaller."""
ANISOTROPIC = 3
"""A 3D patch whose longest axis is more than this many times its first is augmented slice by slice."""
ELONGATED = 1.5
"""A 2D patch longer than this is turned by 15 degrees at most, else by any angle."""
THIN = 4
"""An axis of fewer voxels is neither blurred nor coarsened: the kernels do not fit."""


class SpatialChange(NamedTuple):
    """How one patch is turned and scaled."""

    angles: tuple[float, ...]
    """Radians, one per axis that is turned in: three in 3D; in 2D the last one counts."""
    scale: float
    """Voxels of the case per voxel of the patch, on all axes alike."""

    def angle(self, *, dim: int, **_: Any) -> float:
        """The angle about axis `dim`, as SpatialTransform asks for it."""
        return self.angles[dim]


class Augmentation:
    """Augments the patches of one configuration.

    Our own draws come from a generator that is passed in; the library's transforms draw from the global states of
    numpy and torch (some from the one, some from the other), which the caller seeds.
    """

    def __init__(self, configuration: ConfigurationPlan) -> None:
        """Build the transforms for the configuration's patch, mirror axes and masked channels."""
        patch = configuration.patch_size
        self.patch_size = patch
        self.slicewise = len(patch) == 3 and max(patch) / patch[0] > ANISOTROPIC
        self.turned = patch[1:] if self.slicewise else patch
        """The part of the patch that is turned and scaled: all axes, or those of a slice."""
        if len(patch) == 3 and not self.slicewise:
            self.largest_angle = math.radians(30)
        elif len(patch) == 2 and max(patch) / min(patch) > ELONGATED:
            self.largest_angle = math.radians(15)
        else:
            self.largest_angle = math.pi
        self._intensity = ComposeTransforms(intensity_transforms(patch, slicewise=self.slicewise))
        masked = [index for index, channel in enumerate(configuration.normalisation) if channel.use_mask]
        self._mirror = MirrorTransform(allowed_axes=tuple(configuration.mirror_axes))
        self._finish = ComposeTransforms(
            # Padding counts as outside: it has a label below zero as well.
            [MaskImageTransform(masked, channel_idx_in_seg=0, set_outside_to=0), RemoveLabelTransform(OUTSIDE, 0)]
        )

    def draw_spatial(self, rng: Generator) -> SpatialChange | None:
        """Turn with probability 0.2 and scale with probability 0.2; None when neither."""
        turn, scale = rng.random(2) < (ROTATION_PROBABILITY, SCALING_PROBABILITY)
        if not (turn or scale):
            return None
        angles = rng.uniform(-self.largest_angle, self.largest_angle, len(self.turned)) if turn else (0.0, 0.0, 0.0)
        return SpatialChange(
            angles=tuple(float(angle) for angle in angles), scale=float(rng.uniform(*SCALING)) if scale else 1.0
        )

    def margin(self, change: SpatialChange | None) -> tuple[int, ...]:
        """Voxels that the patch needs beyond its box on either side of each axis; negative when it needs less.

        The corner of the patch furthest along input axis i lies at `sum_j |A_ij| (p_j - 1) / 2` from the centre.
        """
        if change is None:
            return (0,) * len(self.patch_size)
        if len(self.turned) == 3:
            affine = create_affine_matrix_3d(change.angles, [change.scale] * 3)
        else:
            affine = create_affine_matrix_2d(change.angles[-1], [change.scale] * 2)
        half = (np.array(self.turned) - 1) / 2
        more = np.ceil(np.abs(affine) @ half - half - 1e-6).astype(int)
        return (0,) * (len(self.patch_size) - len(more)) + tuple(int(voxels) for voxels in more)

    def __call__(self, image: Tensor, label: Tensor, change: SpatialChange | None) -> tuple[Tensor, Tensor]:
        """Augment one sample.

        Args:
            image: `(C, *patch + 2 * margin)` float32; changed in place.
            label: `(L, *patch + 2 * margin)` int16, UNKNOWN where padded; the first is the target, and in a cascade
                the second the previous stage's segmentation.
            change: what was drawn for it.

        Returns:
            `(C, *patch)` float32 and `(L, *patch)` int16 without OUTSIDE; UNKNOWN where the case does not reach.
        """
        sample = {"image": image, "segmentation": label}
        if change is not None:
            sample = self._change(sample, change)
        sample = self._mirror(**self._intensity(**sample))
        sample = self._finish(**sample)
        return sample["image"], sample["segmentation"]

    def finish(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """What is done to a sample that is not augmented: zero outside the mask, OUTSIDE to background."""
        sample = self._finish(image=image, segmentation=label)
        return sample["image"], sample["segmentation"]

    def _change(self, sample: dict[str, Tensor], change: SpatialChange) -> dict[str, Tensor]:
        transform = SpatialTransform(
            self.turned,
            patch_center_dist_from_border=0,
            random_crop=False,
            p_rotation=1,
            rotation=change.angle,
            p_scaling=1,
            scaling=change.scale,
            p_synchronize_scaling_across_axes=1,
            border_mode_seg="constant",
            padding_value_seg=UNKNOWN,
        )
        if not self.slicewise:
            changed: dict[str, Tensor] = transform(**sample)
            return changed
        folded = transform(**{name: array.flatten(0, 1) for name, array in sample.items()})  # (C * Z, Y, X)
        return {name: array.unflatten(0, sample[name].shape[:2]) for name, array in folded.items()}  # (C, Z, Y, X)


def intensity_transforms(patch_size: tuple[int, ...], *, slicewise: bool) -> list[RandomTransform]:
    """nnU-Net's intensity transforms with their probabilities, in its order.

    Args:
        patch_size: voxels; thin axes are left out of the coarsening.
        slicewise: leave out the first axis too.
    """
    kept = tuple(axis for axis, size in enumerate(patch_size) if size < THIN or (slicewise and axis == 0))
    contrast = BGContrast((0.75, 1.25))
    gamma = BGContrast((0.7, 1.5))
    # `benchmark` of the blur would choose FFT or convolution by the clock, and the bytes with it.
    noise = GaussianNoiseTransform(noise_variance=(0, 0.1), p_per_channel=1, synchronize_channels=True)
    blur = GaussianBlurTransform(blur_sigma=_blur_sigma, p_per_channel=0.5, benchmark=False)
    coarser = SimulateLowResolutionTransform(
        scale=(0.5, 1),
        synchronize_channels=False,
        synchronize_axes=True,
        ignore_axes=kept or None,
        p_per_channel=0.5,
    )
    return [
        RandomTransform(noise, 0.1),
        RandomTransform(blur, 0.2),
        RandomTransform(MultiplicativeBrightnessTransform(contrast, synchronize_channels=False), 0.15),
        RandomTransform(ContrastTransform(contrast, preserve_range=True, synchronize_channels=False), 0.15),
        RandomTransform(coarser, 0.25),
        RandomTransform(_gamma(gamma, inverted=True), 0.1),
        RandomTransform(_gamma(gamma, inverted=False), 0.3),
    ]


def _gamma(exponent: BGContrast, *, inverted: bool) -> GammaTransform:
    return GammaTransform(
        exponent, p_invert_image=float(inverted), synchronize_channels=False, p_per_channel=1, p_retain_stats=1
    )


def _blur_sigma(shape: tuple[int, ...], *, dim: int) -> float:
    """Sigma in voxels along axis `dim` of `(C, *patch)`. So small a one as 0.05 is a kernel of one voxel."""
    return 0.05 if shape[dim] < THIN else float(np.random.uniform(0.5, 1))
