"""Reading and preprocessing a raw case for prediction, and refusing one that means nothing; uses no network."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.images import read_case, read_geometry
from autodiffseg.nifti import count_nonfinite, written_spacing
from autodiffseg.preprocessing.case_store import PreprocessedCase
from autodiffseg.text_headers import require_undamaged

from .member import Member, ShownCase


class ReadCase(NamedTuple):
    """A case, ready for the networks."""

    image: npt.NDArray[np.float32]
    """`(C, Z, Y, X)`, raw."""
    geometry: Geometry
    prepared: list[tuple[Member, PreprocessedCase]]

    def show(self) -> list[ShownCase]:
        """The case as each member sees it; of a cascade the network of its previous stage is asked.

        Raises:
            UserError: when the output of a previous stage is not finite.
        """
        seen: dict[tuple[str, int], npt.NDArray[np.float32]] = {}
        shown = []
        for member, case in self.prepared:
            key = member.grid, id(member.previous)  # folds of one model share their previous stage
            if key not in seen:
                seen[key] = member.show(case, self.image, self.geometry)
            shown.append(ShownCase(member, seen[key], case.properties))
        return shown


def read_case_for(members: Sequence[Member], job: tuple[str, Sequence[Path]]) -> ReadCase:
    """Read a case and preprocess it for each member.

    Args:
        members: who will predict it.
        job: the case and its image files in channel order.

    Raises:
        UserError: when a file is damaged, or the case means nothing or does not fit a plan.
    """
    case, files = job
    image, geometry = read_sound_case(files)
    return prepare_case(members, image, geometry, case)


def read_sound_case(files: Sequence[Path]) -> tuple[npt.NDArray[np.float32], Geometry]:
    """Read a case `(C, Z, Y, X)` and where it lies.

    Raises:
        UserError: when a file is damaged, or values or voxel sizes mean nothing.
    """
    image, geometry = read_case(files)
    _require_sound(files, image)
    return image, geometry


def prepare_case(members: Sequence[Member], image: npt.NDArray[np.float32], geometry: Geometry, case: str) -> ReadCase:
    """Preprocess a sound case `(C, Z, Y, X)` for each member.

    Raises:
        UserError: when it does not fit a plan.
    """
    ready: dict[str, PreprocessedCase] = {}
    for member in members:
        if member.grid not in ready:  # what several members want alike is made once
            ready[member.grid] = member.prepare(image, geometry, case)
    return ReadCase(image, geometry, [(member, ready[member.grid]) for member in members])


def _require_sound(files: Sequence[Path], image: npt.NDArray[np.float32]) -> None:
    """Refuse what the integrity check refuses in training images: values or voxel sizes that mean nothing.

    The bytes of NIfTI files are asked, since the reader has put 0 and 1 mm in their place.
    """
    for path in files:
        try:
            spacing = written_spacing(path) or read_geometry(path).spacing[::-1]
            broken = count_nonfinite(path)
            require_undamaged(path)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path} is damaged ({error}); copy it again.") from error
        if not all(math.isfinite(step) and step > 0 for step in spacing):
            shown = ", ".join(f"{step:.4g}" for step in spacing)
            raise UserError(f"{path}: the voxel size is ({shown}) mm (x, y, z); write the true one into the file.")
        if broken:
            raise UserError(f"{path} holds {broken} voxels that are NaN or infinite; replace them.")
    if not np.isfinite(image).all():
        raise UserError(f"{' or '.join(map(str, files))} holds NaN or infinite values; replace them.")
