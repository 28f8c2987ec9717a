"""Preprocessing images without labels on several processes; those that mean nothing are named, not stored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.file_hashes import hash_files
from autodiffseg.geometry import Geometry
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_memory import largest_cases, preprocessing_bytes
from autodiffseg.preprocessing.image_files import ImageFiles
from autodiffseg.preprocessing.image_store import ImageProperties, ImageStore
from autodiffseg.preprocessing.parallel import fitting_processes, for_each_case, useful_processes
from autodiffseg.preprocessing.preprocessor import preprocess_case
from autodiffseg.preprocessing.previous_stage import Watch
from autodiffseg.preprocessing.run import is_quick
from autodiffseg.sound_case import read_sound_case

NAME_BYTES = 150
"""Of an image's name in its id: 255 are possible in a file's name, and its ending and a temporary one are to fit."""

NO_LABELS = LabelSpec(labels={"background": 0})


class Grid(NamedTuple):
    """What images are brought to: the grid and the intensities of a configuration of a plan."""

    plan: Plan
    configuration: str


class PreparedImages(NamedTuple):
    """What came of a number of images, in their order."""

    good: dict[ImageFiles, ImageProperties]
    broken: dict[ImageFiles, str]
    """Image -> in one line what is wrong with it."""


class _Job(NamedTuple):
    """All that a worker process needs for one image."""

    image: str
    files: tuple[Path, ...]
    grid: Grid
    folder: Path
    keep: bool


def prepare_images(
    images: Sequence[ImageFiles],
    grid: Grid,
    store: ImageStore,
    *,
    processes: int,
    keep: bool = True,
    watch: Watch | None = None,
) -> PreparedImages:
    """Preprocess the images that the store does not hold yet; the number of processes changes no byte.

    Args:
        images: may lie anywhere; the same file contents under the same name are preprocessed once.
        grid: what they are brought to.
        store: where they go; a file beside its folder remembers the hashes of the raw files.
        processes: at most; fewer where the memory does not suffice.
        keep: False keeps the properties alone, to know an image again.
        watch: told how many images there are to do, if any; what it returns is called after each.

    Raises:
        UserError: when an image could not be preprocessed or written though nothing is wrong with it, as for want of
            memory; the others are there and are skipped the next time.
    """
    unreadable: dict[Path, str] = {}
    cache = store.beside(f"{store.folder.name}_files.json")
    hashes = hash_files(
        (path for image in images for path in image.files), cache, threads=processes, unreadable=unreadable
    )
    broken, names, jobs = {}, {}, {}
    for image in images:
        lost = next((path for path in image.files if path in unreadable), None)
        if lost is not None:
            broken[image] = f"{lost} {unreadable[lost]}"
            continue
        names[image] = _name(image, hashes)
        if not store.has(names[image]):
            jobs[names[image]] = _Job(names[image], image.files, grid, store.folder, keep)
    failures = _run(jobs, grid, processes, watch)
    broken |= {image: failures[name] for image, name in names.items() if name in failures}
    good = {image: store.properties(name) for image, name in names.items() if name not in failures}
    return PreparedImages(good, broken)


def _name(image: ImageFiles, hashes: Mapping[Path, str]) -> str:
    """The id of an image, unique over folders: its name, cut where it is very long, and a hash over its files."""
    contents = "".join(hashes[path] for path in image.files)
    name = image.name.encode()[:NAME_BYTES].decode(errors="ignore")
    return f"{name}-{hashlib.blake2b(contents.encode(), digest_size=6).hexdigest()}"


def _run(jobs: Mapping[str, _Job], grid: Grid, processes: int, watch: Watch | None) -> dict[str, str]:
    """Do what is to be done; image -> what is wrong with it, for those that are broken."""
    on_case = watch(len(jobs)) if watch is not None and jobs else None
    processes = useful_processes((path for job in jobs.values() for path in job.files), processes)
    if processes > 1:
        sizes = largest_cases(job.files for job in jobs.values())
        processes = fitting_processes(processes, preprocessing_bytes(sizes, grid.plan, grid.configuration))
    faults = for_each_case(
        _prepare, jobs, processes=processes, on_case=on_case, quick=lambda name: is_quick(jobs[name].files)
    )
    return {name: fault for name, fault in faults.items() if fault}


def _prepare(job: _Job) -> str:
    """Preprocess and write one image; returns what is wrong with it, or ""."""
    settings = job.grid.plan.configuration(job.grid.configuration)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked at
            image, geometry = read_sound_case(job.files)
            channels = len(settings.normalisation)
            _require_fits(job.files, image, geometry, channels=channels, dimensions=settings.dimensions)
            case = preprocess_case(
                image,
                geometry,
                case=job.image,
                plan=job.grid.plan,
                configuration=job.grid.configuration,
                spec=NO_LABELS,
            )
    except UserError as error:
        text = str(error)
        return text if str(job.files[0].parent) in text else f"{job.files[0]}: {text}"
    if fault := _fault_of(case.image):
        return f"{job.files[0]} {fault}"
    properties = ImageProperties.of(job.image, case.image, case.properties.spacing)
    array = case.image if job.keep else None
    ImageStore(job.folder).write(properties, array, dimensions=settings.dimensions)
    return ""


def _require_fits(
    files: Sequence[Path], image: npt.NDArray[np.float32], geometry: Geometry, *, channels: int, dimensions: int
) -> None:
    """Refuse an image `(C, Z, Y, X)` that is of another kind than the labelled cases.

    Raises:
        UserError: says what is wrong.
    """
    if len(image) != channels:
        cure = "make it grey" if channels == 1 else "one file NAME_0000, NAME_0001, … each is needed"
        raise UserError(
            f"{files[0]} has {len(image)} channel{'s' * (len(image) > 1)}, the labelled cases have {channels}; {cure}."
        )
    if dimensions == 3 and geometry.dimensions == 2:
        raise UserError(f"{files[0]} is a 2D image; a 3D configuration learns from volumes.")
    if _is_constant(image):
        raise UserError(f"{files[0]} is empty: all voxels have the same value.")


def _fault_of(image: npt.NDArray[np.float32]) -> str:
    """What is wrong with a preprocessed image `(C, Z, Y, X)` whose file was sound, or ""."""
    if not np.isfinite(image).all():
        return "holds numbers too large to be normalised; write them in another unit."
    if _is_constant(image):
        return "is empty once it is cropped and normalised as the plan says; is it of the labelled cases' kind?"
    return ""


def _is_constant(image: npt.NDArray[np.float32]) -> bool:
    return all(channel.min() == channel.max() for channel in image)
