"""Preprocessing all training cases of a dataset into a case store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from autodiffseg.dataset import RawDataset
from autodiffseg.images import read_case, read_label
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_memory import largest_cases, preprocessing_bytes
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.cut_labels import CutLabel, cut_labels
from autodiffseg.preprocessing.parallel import fitting_processes, for_each_case, useful_processes
from autodiffseg.preprocessing.preprocessor import preprocess_case

QUICK_BYTES = 1e6
"""A case with smaller files takes milliseconds: this process may do it while the worker processes start."""


class CaseJob(NamedTuple):
    """All that a worker process needs to preprocess one case."""

    case: str
    images: tuple[Path, ...]
    label: Path
    plan: Plan
    configuration: str
    spec: LabelSpec
    folder: Path
    annotations: tuple[Path | None, ...] = ()
    """The label file of each annotator; None for one who did not look at this case."""


def missing_cases(dataset: RawDataset, store: CaseStore) -> tuple[str, ...]:
    """The training cases that are not in the store yet."""
    there = set(store.cases())
    return tuple(case for case in dataset.cases if case not in there)


def preprocess_dataset(
    dataset: RawDataset,
    plan: Plan,
    configuration: str,
    folder: Path,
    *,
    processes: int,
    on_case: Callable[[], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[CutLabel, ...]:
    """Preprocess every training case that `folder` does not hold yet; the number of processes changes no byte.

    Args:
        folder: of the case store: `preprocessed/<dataset>/<data_id>`.
        processes: at most; fewer where the memory does not suffice.
        on_case: called after each case that was missing.
        tell: called with one line when fewer processes work than were asked for.

    Returns:
        If any case was missing: the cases of the folder, old ones too, of whose labels something was cut away.

    Raises:
        UserError: names the cases that failed; the others are there and are skipped the next time.
    """
    store = CaseStore(folder)
    jobs = {
        case: CaseJob(
            case,
            dataset.images(case),
            dataset.label(case),
            plan,
            configuration,
            dataset.spec,
            folder,
            tuple(dataset.annotations(case).get(annotator) for annotator in dataset.json.annotators),
        )
        for case in missing_cases(dataset, store)
    }
    processes = useful_processes((path for job in jobs.values() for path in (*job.images, job.label)), processes)
    if processes > 1:
        sizes = largest_cases(job.images for job in jobs.values())
        processes = fitting_processes(processes, preprocessing_bytes(sizes, plan, configuration), tell)
    for_each_case(
        _preprocess, jobs, processes=processes, on_case=on_case, quick=lambda case: is_quick(jobs[case].images)
    )
    return cut_labels(store) if jobs else ()


def is_quick(files: tuple[Path, ...]) -> bool:
    """Whether the image files of a case are so small that this process may do it while worker processes start."""
    return sum(path.stat().st_size for path in files if path.is_file()) < QUICK_BYTES


def _preprocess(job: CaseJob) -> None:
    image, geometry = read_case(job.images)
    label, _ = read_label(job.label)
    case = preprocess_case(
        image,
        geometry,
        case=job.case,
        plan=job.plan,
        configuration=job.configuration,
        spec=job.spec,
        label=label,
        annotations=[None if path is None else read_label(path)[0] for path in job.annotations],
    )
    CaseStore(job.folder).write(case, dimensions=job.plan.configuration(job.configuration).dimensions)
