"""The segmentations of a cascade's previous stage on the grid of the cascade's preprocessed cases."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.images import read_label
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_memory import CaseSize, preprocessing_bytes
from autodiffseg.preprocessing.case_store import CaseProperties, CaseStore, open_array, storage_shapes, write_array
from autodiffseg.preprocessing.crop import box_slices
from autodiffseg.preprocessing.parallel import fitting_processes, for_each_case, useful_processes
from autodiffseg.preprocessing.resample import resample_label, separate_axis

Watch = Callable[[int], Callable[[], None]]
"""For progress bars: told a number of cases, it gives what is to be called after each."""


def onto_preprocessed_grid(
    segmentation: npt.NDArray[Any], properties: CaseProperties, plan: Plan
) -> npt.NDArray[np.int16]:
    """Bring a label map from the raw grid of a case to its preprocessed grid, by the steps a label takes.

    Args:
        segmentation: `(Z, Y, X)` integers, raw axis order.
        properties: of the preprocessed case: its crop and its grid.
        plan: its axis order.

    Returns:
        `(Z, Y, X)` int16, transposed axis order. Nothing marks the surroundings of the body, as a label does.

    Raises:
        UserError: when the label map does not lie on the raw grid of the case.
    """
    if segmentation.shape != properties.geometry.shape:
        raise UserError(
            f"the previous stage's segmentation of {properties.case} has shape {segmentation.shape}, the image "
            f"{properties.geometry.shape} (z, y, x); was it made from another image?"
        )
    cropped = segmentation.transpose(plan.transpose)[box_slices(properties.crop)].astype(np.int16)
    separate = separate_axis(properties.spacing_before, properties.spacing)
    resampled: npt.NDArray[np.int16] = resample_label(cropped, properties.shape, separate=separate)
    return np.ascontiguousarray(resampled)


class PreviousStageStore:
    """The segmentations of many cases on their preprocessed grid, one file `CASE.HASH.b2nd` each.

    HASH follows from the segmentation that was brought there and from the grid of the case. So a new segmentation, or
    one of a case that was preprocessed otherwise, is a new file: an old one is never taken for it, and a training that
    still reads the old one is not disturbed.
    """

    def __init__(self, folder: Path, hashes: Mapping[str, str]) -> None:
        """Use `folder`, in which case C is the file that `hashes[C]` says."""
        self.folder = folder
        self.hashes = dict(hashes)

    def segmentation(self, case: str) -> Any:
        """The blosc2 array `(1, Z, Y, X)` int16; indexing reads and decompresses only what is asked for.

        Raises:
            UserError: when the case is not there or its file is damaged.
        """
        if case not in self.hashes or not self.path(case).is_file():
            raise UserError(
                f"{self.folder} has no segmentation of case {case} by the previous stage; train with --continue."
            )
        return open_array(self.path(case), cure="remove it and train with --continue")

    def path(self, case: str) -> Path:
        """The file of a case."""
        return self.folder / f"{case}.{self.hashes[case]}.b2nd"

    def digest(self, cases: Iterable[str]) -> str:
        """A hash of what these cases are shown: equal if and only if all their segmentations are."""
        text = "\n".join(f"{case} {self.hashes[case]}" for case in sorted(set(cases)))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def store_previous_stage(
    segmentations: Mapping[str, Path],
    store: CaseStore,
    plan: Plan,
    configuration: str,
    folder: Path,
    *,
    processes: int,
    watch: Watch | None = None,
) -> PreviousStageStore:
    """Bring label files onto the preprocessed grid, as far as that has not been done before.

    Args:
        segmentations: case -> label map on the raw grid of the case.
        store: the preprocessed cases.
        plan: their plan.
        configuration: their configuration, the cascade.
        folder: where the results go.
        processes: worker processes; they change no byte.
        watch: told how many cases there are to do, if any; what it returns is called after each.

    Raises:
        UserError: names the cases whose label map cannot be read or lies on another grid.
    """
    grid = plan.data_id(configuration)
    properties = {case: store.properties(case) for case in segmentations}
    hashes = {case: _hash(path, grid, properties[case]) for case, path in segmentations.items()}
    found = PreviousStageStore(folder, hashes)
    jobs = {
        case: _Job(path, properties[case], plan, found.path(case))
        for case, path in segmentations.items()
        if not found.path(case).is_file()
    }
    on_case = watch(len(jobs)) if watch is not None and jobs else None
    processes = useful_processes((job.source for job in jobs.values()), processes)
    if processes > 1:
        raw = [job.properties.geometry for job in jobs.values()]
        # The estimate has an image too; only the label is resampled here, so that it errs on the safe side.
        needed = preprocessing_bytes([CaseSize(1, g.shape, g.spacing) for g in raw], plan, configuration)
        processes = fitting_processes(processes, needed)
    for_each_case(_bring, jobs, processes=processes, on_case=on_case)
    return found


class _Job(NamedTuple):
    """All that a worker process needs for one case."""

    source: Path
    properties: CaseProperties
    plan: Plan
    target: Path


def _bring(job: _Job) -> None:
    segmentation, _ = read_label(job.source)
    array = onto_preprocessed_grid(segmentation, job.properties, job.plan)[None]
    write_array(job.target, array, *storage_shapes(array.shape, array.itemsize, dimensions=3))


def _hash(path: Path, grid: str, properties: CaseProperties) -> str:
    """Of the file and of the grid that it is brought to: that of the plan, and where the case lies in it.

    Raises:
        UserError: when the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    place = repr((grid, properties.crop, properties.shape, properties.spacing_before, properties.spacing))
    return hashlib.blake2b(place.encode() + content, digest_size=8).hexdigest()
