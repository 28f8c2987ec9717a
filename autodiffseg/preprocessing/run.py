"""Preprocessing all training cases of a dataset into a case store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from autodiffseg.dataset import RawDataset
from autodiffseg.images import read_case, read_label
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.parallel import for_each_case, useful_processes
from autodiffseg.preprocessing.preprocessor import preprocess_case


class CaseJob(NamedTuple):
    """All that a worker process needs to preprocess one case."""

    case: str
    images: tuple[Path, ...]
    label: Path
    plan: Plan
    configuration: str
    spec: LabelSpec
    folder: Path


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
) -> int:
    """Preprocess every training case that `folder` does not hold yet; the number of processes changes no byte.

    Args:
        folder: of the case store: `preprocessed/<dataset>/<data_id>`.
        on_case: called after each case that was missing.

    Returns:
        How many cases were preprocessed.

    Raises:
        UserError: names the cases that failed; the others are there and are skipped the next time.
    """
    jobs = {
        case: CaseJob(case, dataset.images(case), dataset.label(case), plan, configuration, dataset.spec, folder)
        for case in missing_cases(dataset, CaseStore(folder))
    }
    files = [path for job in jobs.values() for path in (*job.images, job.label)]
    for_each_case(_preprocess, jobs, processes=useful_processes(files, processes), on_case=on_case)
    return len(jobs)


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
    )
    CaseStore(job.folder).write(case, dimensions=job.plan.configuration(job.configuration).dimensions)
