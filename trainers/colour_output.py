"""ColourOutput: coloured pictures of label maps that are pictures themselves, which look black to people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autodiffseg.images import write_picture
from autodiffseg.inference.export import Prediction
from autodiffseg.label_colours import colour_table
from autodiffseg.labels import LabelSpec

FOLDER = "colours"
ENDINGS = (".png", ".bmp")
"""Always 2D. A palette inside the label file would do for people, but SimpleITK, scikit-image and imageio, so we and
nnU-Net as well, read such a file as three colour components; only Pillow gives the class numbers."""


def picture_file(predictions: Path, case: str) -> Path:
    """`colours/CASE.png`."""
    return predictions / FOLDER / f"{case}.png"


@dataclass(frozen=True)
class ColourOutput:
    """Writes `colours/CASE.png`, a colour for every class and black for the background."""

    folder: Path
    """Of predictions."""
    spec: LabelSpec

    def names(self, case: str) -> tuple[str, ...]:
        """The file of a case, relative to the folder."""
        return (str(picture_file(self.folder, case).relative_to(self.folder)),)

    def begin(self, case: str) -> ColoursOfCase:
        """A new case."""
        return ColoursOfCase(picture_file(self.folder, case), colour_table(self.spec.values - {0}))


@dataclass(frozen=True)
class ColoursOfCase:
    """The picture of one case."""

    path: Path
    table: npt.NDArray[np.uint8]

    def see(self, draw: object) -> None:
        """Nothing: the label map is all it takes."""

    def write(self, mean: Sequence[Prediction], label: npt.NDArray[np.uint8]) -> None:
        """Write it.

        Raises:
            UserError: when it cannot be written.
        """
        write_picture(self.path, self.table[label[0]])


def colour_outputs(folder: Path, ending: str, spec: LabelSpec) -> tuple[ColourOutput, ...]:
    """One for label files that are pictures, none for others."""
    return (ColourOutput(folder, spec),) if ending in ENDINGS else ()
