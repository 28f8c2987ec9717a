"""Our export of one case, measured: run by `export_memory.py`.

Command: `python our_export_side.py SETTING.json`. Its last line is JSON: `before_bytes`, `added_bytes`, `cpu_seconds`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from peak_memory import cost_of

from autodiffseg.dataset import DatasetJson
from autodiffseg.geometry import Geometry
from autodiffseg.inference.probability_store import ProbabilityStore
from autodiffseg.inference.window_sum import Planes
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseProperties
from autodiffseg.trainers.member import Member, ShownCase
from autodiffseg.trainers.prediction_options import WantedOutputs
from autodiffseg.trainers.prediction_outputs import PredictionOutputs


class Known:
    """A predictor that hands out an array."""

    def __init__(self, probabilities: Path) -> None:
        """The array of a file."""
        self.file = probabilities

    def predict_planes(self, image: Any, case: str, *, sample: int = 0, every_step: bool = False) -> Iterator[Planes]:
        """Ten planes at a time."""
        array = np.load(self.file, mmap_mode="r")
        for first in range(0, array.shape[1], 10):
            yield Planes(first, np.array(array[None, :, first : first + 10]))


def export(setting: dict[str, Any], side: int | None, measured: bool) -> dict[str, Any]:
    """Export as `predict` does; `side`: a smaller case."""
    geometry = Geometry.model_validate(setting["geometry"])
    if side is not None:
        geometry = geometry.model_copy(update={"shape": (side,) * 3})
    plan = Plan.model_validate(setting["plan"])
    grid = np.load(setting["probabilities_file"], mmap_mode="r").shape[1:]
    properties = CaseProperties(
        case="case" if measured else "warm",
        geometry=geometry,
        crop=tuple((0, length) for length in geometry.shape),  # type: ignore[arg-type]  # three of them
        spacing_before=geometry.spacing,
        spacing=(setting["spacing"],) * 3,
        shape=grid,
        class_voxels={},
    )
    spec = DatasetJson.model_validate(setting["dataset"]).spec
    predictor: Any = Known(Path(setting["probabilities_file"]))
    member = Member(predictor, plan, setting["configuration"], spec)
    outputs = PredictionOutputs(Path(setting["out"]), ".nii.gz", WantedOutputs(probabilities=setting["probabilities"]))
    with ProbabilityStore(Path(setting["out"]), 0 if setting["on_disk"] else math.inf) as store:
        shown = ShownCase(member, np.zeros((0, *grid), np.float32), properties)
        (writing,) = outputs.jobs([shown], spec, store)  # by now the predictor has left its array
        return cost_of(writing.write)._asdict()


def main() -> None:
    """Export and print."""
    setting = json.loads(Path(sys.argv[1]).read_text())
    export(setting, 8, measured=False)  # what is imported late, is now
    print(json.dumps(export(setting, None, measured=True)))


if __name__ == "__main__":
    main()
