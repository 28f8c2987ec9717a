"""Reading and preprocessing a raw case for prediction; uses no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg.geometry import Geometry
from autodiffseg.preprocessing.case_store import PreprocessedCase
from autodiffseg.sound_case import read_sound_case

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
