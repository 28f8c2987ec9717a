"""Reading the probabilities that `predict --save-probabilities` leaves beside a label map."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.labels import LabelSpec


def read_probabilities(path: Path, spec: LabelSpec, shape: tuple[int, ...]) -> npt.NDArray[np.float16]:
    """`(K, Z, Y, X)` float16 of a CASE.npz, for labels and a grid that are known.

    Raises:
        UserError: when the file cannot be read, or holds another number of channels, another grid, or numbers that are
            no probabilities.
    """
    try:
        # Opened here: of a damaged archive NumPy would leave the file open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            probabilities: npt.NDArray[np.float16] = file["probabilities"].astype(np.float16, copy=False)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read as probabilities ({error}); predict the case again.") from error
    wanted = (spec.channels, *shape)
    if probabilities.shape != wanted:
        raise UserError(f"{path} holds probabilities {probabilities.shape}; the labels and the grid ask for {wanted}.")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise UserError(f"{path} holds numbers outside [0, 1], which are no probabilities.")
    return probabilities
