"""Reading a case that has no label, and refusing one whose values or voxel sizes mean nothing."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.images import read_case, read_geometry
from autodiffseg.nifti import count_nonfinite, written_spacing
from autodiffseg.text_headers import require_undamaged


def read_sound_case(files: Sequence[Path]) -> tuple[npt.NDArray[np.float32], Geometry]:
    """Read a case `(C, Z, Y, X)` and where it lies.

    Raises:
        UserError: when a file is damaged, or values or voxel sizes mean nothing.
    """
    image, geometry = read_case(files)
    _require_sound(files, image)
    return image, geometry


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
