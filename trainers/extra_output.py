"""What other parts may write of a case beside its label map, and do to label maps before they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from autodiffseg.geometry import Geometry
from autodiffseg.inference.export import Prediction

FinishLabel = Callable[[npt.NDArray[np.uint8], Geometry], npt.NDArray[np.uint8]]
"""Changes a label map `(Z, Y, X)` on its raw grid, such as postprocessing; called in another thread."""


class Draw(NamedTuple):
    """One draw of one member: its probabilities on its own preprocessed grid."""

    member: int
    """Index of the member."""
    sample: int
    prediction: Prediction


class CaseExtra(Protocol):
    """What is gathered and written of one case."""

    def see(self, draw: Draw) -> None:
        """Told every draw, members within samples, one after the other but not always in the same thread.

        The arrays must not be changed, nor kept: they may be as large as the memory allows.
        """
        ...

    def write(self, mean: Sequence[Prediction], label: npt.NDArray[np.uint8]) -> None:
        """Write the files; called once after the last draw, in another thread, and before the label map appears.

        Args:
            mean: over samples, of each member.
            label: `(Z, Y, X)` on the raw grid, as it will be written.
        """
        ...


class ExtraOutput(Protocol):
    """A kind of files that every case gets."""

    def names(self, case: str) -> tuple[str, ...]:
        """The files of a case, relative to the folder of predictions."""
        ...

    def begin(self, case: str) -> CaseExtra:
        """A new case."""
        ...
