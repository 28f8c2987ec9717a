"""Raw cases predicted one by one, by all members together; a bad case does not stop the others."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from autodiffseg.errors import UserError
from autodiffseg.images import read_case, read_geometry
from autodiffseg.nifti import count_nonfinite, written_spacing
from autodiffseg.preprocessing.case_store import PreprocessedCase
from autodiffseg.text_headers import require_undamaged

from .member import Member, ShownCase
from .prediction_outputs import PredictionOutputs

OUT_OF_MEMORY = (
    "there is not enough memory for it; end other programs, leave out --save-probabilities, --save-steps and "
    "--uncertainty, or use --device cpu or a machine with more memory"
)


def predict_cases(
    members: Sequence[Member], cases: Mapping[str, tuple[Path, ...]], outputs: PredictionOutputs
) -> Iterator[tuple[str, str | None]]:
    """Predict raw cases one by one.

    Args:
        members: whose probabilities are averaged, one or more, of the same labels.
        cases: case -> image files in channel order.
        outputs: what is written, and where.

    Yields:
        Each case with None, or with what is wrong with it; a bad case, or one too large for the memory, does not stop
        the others.
    """
    for case, files in cases.items():
        fault = None
        try:
            for write in outputs.jobs(_show(members, case, files), members[0].spec):
                write()
        except UserError as error:
            fault = str(error)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            fault = OUT_OF_MEMORY
        if fault == OUT_OF_MEMORY and torch.cuda.is_available():
            torch.cuda.empty_cache()  # after the except block, whose traceback keeps the tensors alive
        yield case, fault


def _show(members: Sequence[Member], case: str, files: Sequence[Path]) -> list[ShownCase]:
    image, geometry = read_case(files)
    _require_sound(files, image)
    # What several members want alike is made once.
    prepared: dict[str, PreprocessedCase] = {}
    seen: dict[tuple[str, int], npt.NDArray[np.float32]] = {}
    shown = []
    for member in members:
        if member.grid not in prepared:
            prepared[member.grid] = member.prepare(image, geometry, case)
        key = member.grid, id(member.previous)  # folds of one model share their previous stage
        if key not in seen:
            seen[key] = member.show(prepared[member.grid], image, geometry)
        shown.append(ShownCase(member, seen[key], prepared[member.grid].properties))
    return shown


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


def _is_out_of_memory(error: Exception) -> bool:
    # Only on CUDA has torch a class of its own for it; these are its words for CPU and MPS.
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)
