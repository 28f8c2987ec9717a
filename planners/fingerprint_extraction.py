"""Taking the fingerprint of a dataset: every case is read once, on several processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.fingerprint import ComponentStatistics, Fingerprint, IntensityStatistics
from autodiffseg.preprocessing.case_memory import largest_cases, reading_bytes
from autodiffseg.preprocessing.parallel import fitting_processes, for_each_case, useful_processes

from .case_facts import CaseFacts, CaseJob, examine_case
from .label_components import summarise
from .label_leakage import choose_blocks, measure_leakage

SAMPLES_PER_CASE = 20_000
SAMPLES = 10_000_000
"""Over all cases and channels: 40 MB however many there are."""


def take_fingerprint(
    dataset: RawDataset,
    raw_hash: str,
    *,
    processes: int,
    on_case: Callable[[], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Fingerprint:
    """Read every training case and put what planning needs into numbers; the same for any number of processes.

    Of a case no more is kept than a few numbers and its share of a fixed number of voxels, so memory does not grow
    with the dataset.

    Args:
        dataset: whose training cases are read.
        raw_hash: of its files.
        processes: at most; fewer where the memory does not suffice.
        on_case: called after each case.
        tell: called with one line when fewer processes work than were asked for.

    Raises:
        UserError: when cases cannot be read (each is named), channels differ between cases or nothing is labelled.
    """
    if not dataset.cases:
        raise UserError(f"{dataset.folder} has no training cases; imagesTr and labelsTr are empty or missing.")
    share = SAMPLES // (len(dataset.cases) * max(1, len(dataset.json.channels)))
    samples = max(1, min(SAMPLES_PER_CASE, share))
    jobs = {case: CaseJob(dataset.images(case), dataset.label(case), dataset.spec, samples) for case in dataset.cases}
    processes = useful_processes((path for job in jobs.values() for path in (*job.images, job.label)), processes)
    if processes > 1:
        sizes = largest_cases(job.images for job in jobs.values())
        processes = fitting_processes(processes, reading_bytes(sizes), tell)
    facts = for_each_case(examine_case, jobs, processes=processes, on_case=on_case)
    fingerprint = combine(dataset, raw_hash, facts)
    blocks = choose_blocks(dataset, {case: fact.box for case, fact in facts.items()}, fingerprint.class_presence)
    del facts
    leakage = measure_leakage(blocks, processes=useful_processes([block.label for block in blocks.values()], processes))
    return fingerprint.model_copy(update={"leakage": leakage})


def combine(dataset: RawDataset, raw_hash: str, facts: Mapping[str, CaseFacts]) -> Fingerprint:
    """The fingerprint of all cases, without the leakage, which only some of them are looked at for.

    Raises:
        UserError: when channels differ between cases or nothing is labelled.
    """
    cases = tuple(facts)
    of_cases = [facts[case] for case in cases]
    _require_channels(dataset, facts)
    volumes = [math.prod(fact.shape_after_crop) for fact in of_cases]
    relative = [volume / math.prod(fact.shape) for volume, fact in zip(volumes, of_cases, strict=True)]
    names = list(dataset.spec.foreground)
    shares = {
        name: [fact.class_voxels[name] / volume for fact, volume in zip(of_cases, volumes, strict=True)]
        for name in names
    }
    return Fingerprint(
        dataset=dataset.name,
        cases=cases,
        spacings=tuple(fact.spacing for fact in of_cases),
        shapes=tuple(fact.shape for fact in of_cases),
        shapes_after_crop=tuple(fact.shape_after_crop for fact in of_cases),
        median_relative_size_after_cropping=float(np.median(relative)),
        left_right_axes=tuple(fact.left_right_axis for fact in of_cases),
        intensities=_intensities([fact for fact in of_cases if fact.samples.shape[1]], dataset),
        class_frequencies={name: float(np.mean(shares[name])) for name in names},
        class_presence={name: tuple(share > 0 for share in shares[name]) for name in names},
        components={name: found for name in names if (found := _components(name, of_cases)) is not None},
        raw_hash=raw_hash,
    )


def _require_channels(dataset: RawDataset, facts: Mapping[str, CaseFacts]) -> None:
    first, channels = next((case, fact.samples.shape[0]) for case, fact in facts.items())
    for case, fact in facts.items():
        if fact.samples.shape[0] != channels:
            raise UserError(
                f"case {case} has {fact.samples.shape[0]} channels, case {first} has {channels}; they must agree."
            )
    if channels != len(dataset.json.channels):
        raise UserError(
            f"{dataset.folder / 'dataset.json'} names {len(dataset.json.channels)} channels, "
            f"the images have {channels}."
        )


def _components(name: str, facts: Sequence[CaseFacts]) -> ComponentStatistics | None:
    having = [fact for fact in facts if name in fact.components]
    if not having:
        return None
    return summarise([fact.components[name] for fact in having], [math.prod(fact.spacing) for fact in having])


def _intensities(facts: Sequence[CaseFacts], dataset: RawDataset) -> tuple[IntensityStatistics, ...]:
    """Statistics over the foreground of all cases, each weighing the same: moments exact, quantiles of the samples."""
    if not facts:
        raise UserError(f"{dataset.folder}: no label map has any foreground; there is nothing to learn.")
    moments = np.stack([fact.moments for fact in facts])  # (cases, C, 4)
    statistics = []
    for channel in range(moments.shape[1]):
        means, variances, least, largest = moments[:, channel].T
        values = np.concatenate([fact.samples[channel] for fact in facts])
        low, median, high = (float(value) for value in np.percentile(values, (0.5, 50, 99.5)))
        statistics.append(
            IntensityStatistics(
                mean=float(means.mean()),
                median=median,
                std=math.sqrt(variances.mean() + means.var()),  # within cases and between them
                min=float(least.min()),
                max=float(largest.max()),
                percentile_00_5=low,
                percentile_99_5=high,
            )
        )
    return tuple(statistics)
