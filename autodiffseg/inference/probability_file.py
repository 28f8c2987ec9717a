"""Writing an `.npz` of probabilities channel by channel, so that never more than one of them is held."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autodiffseg.atomic import atomic_path
from autodiffseg.errors import UserError

KEY = "probabilities"
LEVEL = 1
"""Of deflate. On smooth probabilities level 6 made files 11 to 14 % smaller in two to three times the time."""
PIECE = 2**20
"""Bytes that are compressed at a time."""


@contextmanager
def probability_file(path: Path, shape: Sequence[int]) -> Iterator[Callable[[npt.NDArray[np.float16]], None]]:
    """Hand out a function that is to be given the channels of `(K, Z, Y, X)` in order; the file appears at the end.

    `numpy.load(path)["probabilities"]` reads it.

    Raises:
        UserError: when it cannot be written.
        ValueError: when the channels are not those that were announced.
    """
    wanted, written = tuple(shape), 0
    try:
        with (
            atomic_path(path) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive,
            archive.open(f"{KEY}.npy", "w", force_zip64=True) as file,
        ):
            header = {"descr": np.dtype(np.float16).str, "fortran_order": False, "shape": wanted}
            np.lib.format.write_array_header_1_0(file, header)

            def add(channel: npt.NDArray[np.float16]) -> None:
                nonlocal written
                if channel.shape != wanted[1:] or channel.dtype != np.float16:
                    raise ValueError(f"got {channel.dtype} {channel.shape} of a file of float16 {wanted}")
                values = np.ascontiguousarray(channel).reshape(-1).view(np.uint8)
                for start in range(0, len(values), PIECE):
                    file.write(values[start : start + PIECE].data)
                written += 1

            yield add
            if written != wanted[0]:
                raise ValueError(f"{written} of {wanted[0]} channels were written")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
