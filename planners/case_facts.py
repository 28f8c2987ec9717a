"""What one case adds to the fingerprint: the work of one process, which loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.images import read_case, read_label
from autodiffseg.labels import LabelSpec
from autodiffseg.preprocessing.crop import Box, box_slices, mask_box, nonzero_mask
from autodiffseg.preprocessing.locations import class_voxels

from .label_components import CaseComponents, case_components
from .left_right import left_right_axis

SEED = 1234


class CaseJob(NamedTuple):
    """All that a worker process needs to look at one case."""

    images: tuple[Path, ...]
    label: Path
    spec: LabelSpec
    samples: int


class CaseFacts(NamedTuple):
    """What one case adds to the fingerprint: a few numbers and `samples` voxels, however large the case is."""

    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    box: Box
    """Around the nonzero region."""
    left_right_axis: int
    class_voxels: dict[str, int]
    """Foreground class or region -> voxels within the box."""
    components: dict[str, CaseComponents]
    moments: npt.NDArray[np.float64]
    """`(C, 4)`: mean, variance, least and largest over foreground; `(C, 0)` without foreground."""
    samples: npt.NDArray[np.float32]
    """`(C, n)` of the foreground, drawn with replacement, the same voxels in every channel; `(C, 0)` without it."""

    @property
    def shape_after_crop(self) -> tuple[int, int, int]:
        """Voxels of the box along (z, y, x)."""
        z, y, x = (stop - start for start, stop in self.box)
        return z, y, x


def examine_case(job: CaseJob) -> CaseFacts:
    """Look at one case.

    Raises:
        UserError: when a file cannot be read, or image and label differ in shape.
    """
    image, geometry = read_case(job.images)
    label, _ = read_label(job.label)
    if label.shape != image.shape[1:]:
        raise UserError(f"{job.label} has shape {label.shape}, its image {image.shape[1:]} (z, y, x).")
    box = mask_box(nonzero_mask(image))
    image, label = image[:, *box_slices(box)], label[box_slices(box)]
    # What is not annotated says nothing of how the foreground looks; nnU-Net counts it.
    foreground = np.flatnonzero((label > 0) & (label != job.spec.ignore) if job.spec.ignore is not None else label > 0)
    moments, samples = _intensities(image, foreground, job.samples)
    return CaseFacts(
        spacing=geometry.spacing,
        shape=geometry.shape,
        box=box,
        left_right_axis=left_right_axis(geometry.direction),
        class_voxels=class_voxels(label, job.spec),
        components=case_components(label, job.spec),
        moments=moments,
        samples=samples,
    )


def _intensities(
    image: npt.NDArray[np.float32], foreground: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Moments and samples of `image` `(C, Z, Y, X)` at flat indices, one channel after the other to spare memory."""
    channels = image.shape[0]
    if not len(foreground):
        return np.zeros((channels, 0)), np.zeros((channels, 0), dtype=np.float32)
    drawn = np.random.default_rng(SEED).integers(len(foreground), size=count)
    moments, samples = np.empty((channels, 4)), np.empty((channels, count), dtype=np.float32)
    for channel in range(channels):
        values: npt.NDArray[Any] = image[channel].reshape(-1)[foreground]
        samples[channel] = values[drawn]
        values = values.astype(np.float64)
        moments[channel] = values.mean(), values.var(), values.min(), values.max()
    return moments, samples
