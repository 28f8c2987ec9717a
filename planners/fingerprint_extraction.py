"""Taking the fingerprint of a dataset: every case is read once, on several processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.fingerprint import Fingerprint, IntensityStatistics
from autodiffseg.images import read_case, read_label
from autodiffseg.labels import LabelSpec
from autodiffseg.preprocessing.crop import box_slices, mask_box, nonzero_mask
from autodiffseg.preprocessing.locations import class_voxels
from autodiffseg.preprocessing.parallel import for_each_case, useful_processes

SAMPLES_PER_CASE = 20_000
SAMPLES = 20_000_000
"""Over the dataset, per channel: 80 MB however many cases there are."""
SEED = 1234


class CaseJob(NamedTuple):
    """All that a worker process needs to look at one case."""

    images: tuple[Path, ...]
    label: Path
    spec: LabelSpec
    samples: int


class CaseFacts(NamedTuple):
    """What one case adds to the fingerprint. Intensities are over foreground; empty without any."""

    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    shape_after_crop: tuple[int, int, int]
    class_voxels: dict[str, int]
    moments: npt.NDArray[np.float64]
    """`(C, 4)`: mean, mean of squares, least, largest; `(C, 0)` without foreground."""
    samples: npt.NDArray[np.float32]
    """`(C, n)`, drawn with replacement; the same voxels in every channel."""


def take_fingerprint(
    dataset: RawDataset, raw_hash: str, *, processes: int, on_case: Callable[[], None] | None = None
) -> Fingerprint:
    """Read every training case and put what planning needs into numbers; the same for any number of processes.

    Raises:
        UserError: when a case cannot be read, channels differ between cases or nothing is labelled.
    """
    if not dataset.cases:
        raise UserError(f"{dataset.folder} has no training cases; imagesTr and labelsTr are empty or missing.")
    samples = max(1, min(SAMPLES_PER_CASE, SAMPLES // len(dataset.cases)))
    jobs = {case: CaseJob(dataset.images(case), dataset.label(case), dataset.spec, samples) for case in dataset.cases}
    files = [path for job in jobs.values() for path in (*job.images, job.label)]
    facts = for_each_case(examine_case, jobs, processes=useful_processes(files, processes), on_case=on_case)
    return combine(dataset, raw_hash, facts)


def examine_case(job: CaseJob) -> CaseFacts:
    """Look at one case."""
    image, geometry = read_case(job.images)
    label, _ = read_label(job.label)
    if label.shape != image.shape[1:]:
        raise UserError(f"{job.label} has shape {label.shape}, its image {image.shape[1:]} (z, y, x).")
    box = box_slices(mask_box(nonzero_mask(image)))
    cropped = label[box]
    # What is not annotated says nothing of how the foreground looks; nnU-Net counts it.
    foreground = (cropped > 0) & (cropped != job.spec.ignore) if job.spec.ignore is not None else cropped > 0
    values = image[:, *box][:, foreground].astype(np.float64)  # (C, n)
    moments = np.zeros((image.shape[0], 0))
    samples = np.zeros((image.shape[0], 0), dtype=np.float32)
    if values.shape[1]:
        moments = np.stack([values.mean(1), np.square(values).mean(1), values.min(1), values.max(1)], axis=1)
        drawn = np.random.default_rng(SEED).integers(values.shape[1], size=job.samples)
        samples = values[:, drawn].astype(np.float32)
    z, y, x = cropped.shape
    return CaseFacts(geometry.spacing, geometry.shape, (z, y, x), class_voxels(cropped, job.spec), moments, samples)


def combine(dataset: RawDataset, raw_hash: str, facts: dict[str, CaseFacts]) -> Fingerprint:
    """The fingerprint of all cases."""
    cases = tuple(facts)
    of_cases = [facts[case] for case in cases]
    channels = of_cases[0].samples.shape[0]
    for case, fact in facts.items():
        if fact.samples.shape[0] != channels:
            raise UserError(
                f"case {case} has {fact.samples.shape[0]} channels, case {cases[0]} has {channels}; they must agree."
            )
    if channels != len(dataset.json.channels):
        raise UserError(
            f"{dataset.folder / 'dataset.json'} names {len(dataset.json.channels)} channels, "
            f"the images have {channels}."
        )
    volumes = [np.prod(fact.shape_after_crop, dtype=float) for fact in of_cases]
    relative = [volume / np.prod(fact.shape, dtype=float) for volume, fact in zip(volumes, of_cases, strict=True)]
    names = list(dataset.spec.foreground)
    return Fingerprint(
        dataset=dataset.name,
        cases=cases,
        spacings=tuple(fact.spacing for fact in of_cases),
        shapes=tuple(fact.shape for fact in of_cases),
        shapes_after_crop=tuple(fact.shape_after_crop for fact in of_cases),
        median_relative_size_after_cropping=float(np.median(relative)),
        intensities=_intensities([fact for fact in of_cases if fact.samples.shape[1]], dataset),
        class_frequencies={
            name: float(
                np.mean([fact.class_voxels[name] / volume for fact, volume in zip(of_cases, volumes, strict=True)])
            )
            for name in names
        },
        class_presence={name: sum(fact.class_voxels[name] > 0 for fact in of_cases) for name in names},
        raw_hash=raw_hash,
    )


def _intensities(facts: Sequence[CaseFacts], dataset: RawDataset) -> tuple[IntensityStatistics, ...]:
    """Statistics over the foreground of all cases, each weighing the same: moments exact, quantiles of the samples."""
    if not facts:
        raise UserError(f"{dataset.folder}: no label map has any foreground; there is nothing to learn.")
    moments = np.stack([fact.moments for fact in facts])  # (cases, C, 4)
    samples = np.concatenate([fact.samples for fact in facts], axis=1)  # (C, n)
    mean, square = moments[..., 0].mean(0), moments[..., 1].mean(0)
    statistics = []
    for channel, values in enumerate(samples):
        low, median, high = (float(value) for value in np.percentile(values, (0.5, 50, 99.5)))
        statistics.append(
            IntensityStatistics(
                mean=float(mean[channel]),
                median=median,
                std=float(np.sqrt(max(square[channel] - mean[channel] ** 2, 0.0))),
                min=float(moments[:, channel, 2].min()),
                max=float(moments[:, channel, 3].max()),
                percentile_00_5=low,
                percentile_99_5=high,
            )
        )
    return tuple(statistics)
