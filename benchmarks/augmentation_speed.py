"""CPU milliseconds per batch of our sampling and augmentation, against nnU-Net's list on batchgenerators v1.

Command: `python benchmarks/augmentation_speed.py [--batches 40]`; one thread, no data, about a minute. Both sides
cut patches from the same random volume with two classes in memory and apply the same transforms with the same
probabilities; the v1 side cuts the patch enlarged for the worst rotation and scale, as nnU-Net does, and interpolates
images with the given order. CPU time of the process, so that other work on the machine counts little.

Prints one JSON object:
- `machine`: versions and processor; `batches`: how many were timed;
- `patches`: for each patch size, with `batch_size`: means `ours_ms`, `v1_order1_ms`, `v1_order3_ms` per batch, the
  slowest of ours `ours_worst_ms`, and `ratio_order1`, `ratio_order3` (v1 / ours: above 1 we are faster).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from batchgenerators.augmentations.utils import rotate_coords_3d
from batchgenerators.transforms.abstract_transforms import Compose
from batchgenerators.transforms.color_transforms import (
    BrightnessMultiplicativeTransform,
    ContrastAugmentationTransform,
    GammaTransform,
)
from batchgenerators.transforms.noise_transforms import GaussianBlurTransform, GaussianNoiseTransform
from batchgenerators.transforms.resample_transforms import SimulateLowResolutionTransform
from batchgenerators.transforms.spatial_transforms import MirrorTransform, SpatialTransform

from autodiffseg.dataloading.batches import BatchSource
from autodiffseg.dataloading.patch_sampling import draw_box, draw_voxel, read_box, widen
from autodiffseg.labels import UNKNOWN, LabelSpec
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan

CASES = {(40, 56, 40): (36, 50, 35), (96, 96, 96): (150, 150, 150)}
"""Patch size -> shape of the case it is cut from: Hippocampus, and a case larger than the patch."""
BATCH_SIZE = 2
ANGLE = np.radians(30)


class Volume:
    """One case in memory with the methods of a CaseStore."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        """A ball with a core in noise."""
        from_centre = np.indices(shape) - np.array(shape)[:, None, None, None] / 2
        radius = np.sqrt((from_centre**2).sum(0)) / min(shape)
        self._label = ((radius < 1 / 3).astype(np.int16) + (radius < 1 / 5))[None]  # (1, Z, Y, X)
        noise = np.random.default_rng(0).standard_normal((1, *shape))
        self._image = (noise + self._label).astype(np.float32)
        self._locations = {index: np.argwhere(self._label[0] == index + 1) for index in range(2)}

    def image(self, _: str) -> Any:
        """`(1, Z, Y, X)`"""
        return self._image

    def label(self, _: str) -> Any:
        """`(1, Z, Y, X)`"""
        return self._label

    def locations(self, _: str) -> Any:
        """Class -> voxels."""
        return self._locations


def ours(volume: Volume, patch: tuple[int, ...]) -> Callable[[int], object]:
    """Our batches."""
    network = NetworkPlan(
        features=(8, 8),
        kernels=((3,) * 3,) * 2,
        strides=((1,) * 3, (2,) * 3),
        encoder_blocks=(1, 1),
        decoder_blocks=(1,),
    )
    configuration = ConfigurationPlan(
        dimensions=3,
        spacing=(1, 1, 1),
        median_shape=patch,
        patch_size=patch,
        batch_size=BATCH_SIZE,
        batch_dice=False,
        normalisation=(NormalisationPlan(scheme="zscore"),),
        network=network,
        mirror_axes=(0, 1, 2),
    )
    spec = LabelSpec(labels={"background": 0, "ball": 1, "core": 2})
    store: Any = volume
    return BatchSource(store, ["volume"], configuration, spec, seed=0).batch


def version_1(volume: Volume, patch: tuple[int, ...], order: int) -> Callable[[int], object]:
    """The same work with batchgenerators v1."""
    corner = np.array(patch, float)[:, None]
    turned = [rotate_coords_3d(corner, *angles) for angles in ANGLE * np.eye(3)]
    reach = np.max(np.abs(np.hstack([corner, *turned])), axis=1)  # 128 voxels become 205, as in nnU-Net
    margin = np.ceil((reach / 0.85 - patch) / 2).astype(int)
    rotation = (-ANGLE, ANGLE)
    transforms = Compose(
        [
            SpatialTransform(
                patch,
                patch_center_dist_from_border=None,
                do_elastic_deform=False,
                do_rotation=True,
                angle_x=rotation,
                angle_y=rotation,
                angle_z=rotation,
                p_rot_per_sample=0.2,
                do_scale=True,
                scale=(0.7, 1.4),
                p_scale_per_sample=0.2,
                border_mode_data="constant",
                border_cval_data=0,
                order_data=order,
                border_mode_seg="constant",
                border_cval_seg=UNKNOWN,
                order_seg=1,
                random_crop=False,
            ),
            GaussianNoiseTransform(p_per_sample=0.1),
            GaussianBlurTransform((0.5, 1.0), different_sigma_per_channel=True, p_per_sample=0.2, p_per_channel=0.5),
            BrightnessMultiplicativeTransform((0.75, 1.25), p_per_sample=0.15),
            ContrastAugmentationTransform(p_per_sample=0.15),
            SimulateLowResolutionTransform(
                (0.5, 1), per_channel=True, p_per_channel=0.5, order_downsample=0, order_upsample=3, p_per_sample=0.25
            ),
            GammaTransform((0.7, 1.5), invert_image=True, per_channel=True, retain_stats=True, p_per_sample=0.1),
            GammaTransform((0.7, 1.5), invert_image=False, per_channel=True, retain_stats=True, p_per_sample=0.3),
            MirrorTransform((0, 1, 2)),
        ]
    )
    rng = np.random.default_rng(0)

    def batch(_: int) -> object:
        images, labels = [], []
        for forced in (False, True):
            voxel = draw_voxel(list(volume.locations("").values()), rng) if forced else None
            box = widen(draw_box(volume.image("").shape[1:], patch, voxel, rng), [int(more) for more in margin])
            images.append(read_box(volume.image(""), box, padding=0))
            labels.append(read_box(volume.label(""), box, padding=UNKNOWN))
        return transforms(data=np.stack(images), seg=np.stack(labels))

    np.random.seed(0)
    return batch


def milliseconds(make: Callable[[int], object], batches: int) -> list[float]:
    """The time of each batch after one that warms up."""
    times = []
    for n in range(batches + 1):
        begin = time.process_time()
        make(n)
        times.append((time.process_time() - begin) * 1e3)
    return times[1:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=40, help="batches per measurement")
    count = parser.parse_args().batches
    torch.set_num_threads(1)
    rows = []
    for patch, shape in CASES.items():
        volume = Volume(shape)
        own = milliseconds(ours(volume, patch), count)
        row: dict[str, Any] = {"patch": patch, "batch_size": BATCH_SIZE, "ours_ms": round(float(np.mean(own)), 1)}
        row["ours_worst_ms"] = round(max(own), 1)
        for order in (1, 3):
            v1 = float(np.mean(milliseconds(version_1(volume, patch, order), count)))
            row[f"v1_order{order}_ms"] = round(v1, 1)
            row[f"ratio_order{order}"] = round(v1 / float(np.mean(own)), 2)
        rows.append(row)
    machine = {
        name: version(name) for name in ("autodiffseg", "batchgenerators", "batchgeneratorsv2", "numpy", "torch")
    }
    machine |= {"python": platform.python_version(), "processor": platform.processor() or platform.machine()}
    print(json.dumps({"machine": machine, "batches": count, "patches": rows}, indent=2))


if __name__ == "__main__":
    main()
