"""The part of the integrity check that opens the files of one case; it runs in worker processes.

Nothing here imports torch: a worker that does takes seconds to start.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.geometry import SPACING_TOLERANCE, Geometry, show_spacing
from autodiffseg.images import read_image
from autodiffseg.nifti import count_nonfinite, written_spacing
from autodiffseg.problems import Problem
from autodiffseg.text_headers import lacks_spacing, require_undamaged

PLACE_TOLERANCE = 1e-3  # mm for the origin, absolute for direction cosines: float noise of the writers


@dataclass(frozen=True)
class CaseTask:
    """What a worker needs to check one case."""

    case: str
    folder: Path
    """The dataset; files are named relative to it."""
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    """The reference label map first, then those of the annotators."""
    channels: int
    values: frozenset[int]
    """The integers that may stand in a label map."""
    ignore: int | None
    numbered: bool
    """Whether the image files follow the convention CASE_0000.ext."""


@dataclass(frozen=True)
class CaseFindings:
    """What a worker found."""

    problems: tuple[Problem, ...]
    image: str = ""
    """The first image file, relative to the dataset; "" when none could be read."""
    dimensions: int | None = None
    """2 or 3; None when no image could be read."""
    spacing: tuple[float, float, float] | None = None
    """Of that file, mm (z, y, x)."""
    foreground: bool = False
    """Whether the reference label map holds a class beside background and ignore."""


class _Content(NamedTuple):
    """What stands in one file."""

    array: npt.NDArray[Any]
    """`(C, Z, Y, X)`"""
    geometry: Geometry
    nonfinite: int
    """Voxels that are NaN or infinite in the file; the reader may have made them 0."""


def check_case(task: CaseTask) -> CaseFindings:
    """Read every file of a case and list what is wrong with it."""
    problems: list[Problem] = []
    reference: tuple[str, Geometry] | None = None
    components = unreadable = 0
    for path in task.images:
        name = _relative(path, task.folder)
        read = _read(path, name, problems)
        if read is None:
            unreadable += 1
            continue
        components += len(read.array)
        problems += [*_check_spacing(name, path, read.geometry), *_check_intensities(name, read)]
        if reference is None:
            reference = (name, read.geometry)
        else:
            problems += _check_match(name, read.geometry, *reference)
        del read  # one file in memory at a time
    if task.images and not unreadable:
        problems += _check_channels(task, components)
    foreground = False
    for path in task.labels:
        name = _relative(path, task.folder)
        read = _read(path, name, problems)
        if read is None:
            continue
        problems += _check_spacing(name, path, read.geometry)
        if reference is not None:
            problems += _check_match(name, read.geometry, *reference)
        values = _label_values(name, read, problems)
        if values is not None:
            problems += _check_label(name, values, task)
            foreground |= path == task.labels[0] and bool(values - {0, task.ignore})
    if reference is None:
        return CaseFindings(tuple(problems), foreground=foreground)
    name, grid = reference
    return CaseFindings(tuple(problems), name, grid.dimensions, grid.spacing, foreground)


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _read(path: Path, name: str, problems: list[Problem]) -> _Content | None:
    if not path.is_file():
        problems.append(Problem(name, "the file is missing", "add it or take the case out of the dataset"))
        return None
    try:
        array, geometry = read_image(path)
        nonfinite = count_nonfinite(path)
        require_undamaged(path)
    except UserError as error:
        what = str(error).removeprefix(str(path)).strip().rstrip(".")
        problems.append(Problem(name, what, "export it again or take the case out of the dataset"))
        return None
    except (OSError, EOFError, zlib.error) as error:
        problems.append(Problem(name, f"the file is damaged ({error})", "copy it again or take the case out"))
        return None
    if not nonfinite and np.issubdtype(array.dtype, np.floating):
        nonfinite = int(array.size - np.count_nonzero(np.isfinite(array)))
    return _Content(array, geometry, nonfinite)


def _check_spacing(name: str, path: Path, geometry: Geometry) -> Iterator[Problem]:
    spacing = written_spacing(path) or geometry.spacing[::-1]
    if not all(np.isfinite(step) and step > 0 for step in spacing):
        yield Problem(
            name, f"the voxel size is {show_spacing(spacing)} mm (x, y, z)", "write the true one into the file"
        )
    elif lacks_spacing(path):
        what = "the file does not say how large its voxels are; 1 mm is taken"
        yield Problem(name, what, "write the true size into the file", fatal=False)


def _check_intensities(name: str, read: _Content) -> Iterator[Problem]:
    if read.nonfinite:
        what = f"{read.nonfinite} voxels are NaN or infinite"
        yield Problem(name, what, "replace them, for example by the background")
    elif read.array.min() == read.array.max():
        yield Problem(name, "all voxels have the same value", "look whether the image is empty", fatal=False)


def _check_match(name: str, geometry: Geometry, other: str, wanted: Geometry) -> Iterator[Problem]:
    if geometry.dimensions != wanted.dimensions:
        yield Problem(
            name, f"it has {geometry.dimensions} axes, {other} has {wanted.dimensions}", "store both alike, 2D or 3D"
        )
    elif geometry.shape != wanted.shape:
        yield Problem(
            name, f"its shape is {geometry.shape}, that of {other} is {wanted.shape} (z, y, x)", "put both on one grid"
        )
    elif not np.allclose(geometry.spacing, wanted.spacing, rtol=SPACING_TOLERANCE, atol=0):
        own, its = show_spacing(geometry.spacing), show_spacing(wanted.spacing)
        yield Problem(name, f"its spacing is {own}, that of {other} is {its} mm (z, y, x)", "put both on one grid")
    elif not (
        np.allclose(geometry.origin, wanted.origin, rtol=0, atol=PLACE_TOLERANCE)
        and np.allclose(geometry.direction, wanted.direction, rtol=0, atol=PLACE_TOLERANCE)
    ):
        yield Problem(
            name,
            "its origin or direction differs from that of the case's first image",
            "see whether they overlay; the first image's is used",
            fatal=False,
        )


def _check_channels(task: CaseTask, components: int) -> Iterator[Problem]:
    """One file a channel, numbered without a gap; colour files may stand for several channels."""
    first = _relative(task.images[0], task.folder)
    count = len(task.images)
    if task.numbered:
        numbers = [int(re.findall(r"_(\d{4})\.", path.name)[-1]) for path in task.images]
        missing = sorted(set(range(max(numbers) + 1)) - set(numbers))
        if missing:
            lacking = ", ".join(f"_{number:04d}" for number in missing)
            yield Problem(first, f"the case has no channel {lacking}", "add the file; channels are numbered from _0000")
            return
    if components != task.channels:
        yield Problem(
            first,
            f"wrong number of channels: {components} in {count} {'file' if count == 1 else 'files'}; "
            f"dataset.json declares {task.channels}",
            "add or remove files, or mend channel_names",
        )


def _label_values(name: str, read: _Content, problems: list[Problem]) -> set[int] | None:
    """The values of a label map; None, and a problem, when it is none."""
    array = read.array
    if array.shape[0] != 1:
        problems.append(Problem(name, f"it has {array.shape[0]} colour components", "convert colours to class numbers"))
        return None
    if not np.issubdtype(array.dtype, np.integer):
        if read.nonfinite or np.any(array != np.rint(array)):
            problems.append(Problem(name, "it holds numbers that are not whole", "a label map holds class numbers"))
            return None
        what = "whole numbers are stored as floats"
        problems.append(Problem(name, what, "nothing to do, they are accepted", fatal=False))
    return _values(array[0])


def _check_label(name: str, found: set[int], task: CaseTask) -> Iterator[Problem]:
    strange = sorted(found - task.values)
    if strange:
        more = f" and {len(strange) - 10} more values" if len(strange) > 10 else ""
        yield Problem(
            name,
            f"it holds {', '.join(map(str, strange[:10]))}{more}, which dataset.json does not declare",
            "mend the label map or labels",
        )
    elif not found - {0, task.ignore}:
        yield Problem(name, "it has no foreground", "fine if the structure is absent there", fatal=False)


def _values(label: npt.NDArray[Any]) -> set[int]:
    """The values of `(Z, Y, X)`; slice by slice, because counting is faster than sorting and needs little memory."""
    found: set[int] = set()
    for plane in label:
        if plane.min() >= 0 and plane.max() < 2**16:
            found.update(np.flatnonzero(np.bincount(plane.ravel().astype(np.intp))).tolist())
        else:
            found.update(int(value) for value in np.unique(plane))
    return found
