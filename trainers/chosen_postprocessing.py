"""Which rules of postprocessing a prediction applies: the model's own, those of a file, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autodiffseg.geometry import Geometry
from autodiffseg.labels import LabelSpec
from autodiffseg.postprocessing.record import FILE, Postprocessing
from autodiffseg.postprocessing.rules import Rule, apply_rules


@dataclass(frozen=True)
class ChosenPostprocessing:
    """Rules, as what is done to every label map before it is written."""

    rules: tuple[Rule, ...]
    spec: LabelSpec
    told: str
    """Where they are from, for the user; "" when there is nothing to tell."""

    def __call__(self, label: npt.NDArray[np.uint8], geometry: Geometry) -> npt.NDArray[np.uint8]:
        """A label map `(Z, Y, X)` on its raw grid without the components that the rules remove."""
        return apply_rules(label, self.rules, self.spec, spacing_mm=geometry.spacing).astype(np.uint8, copy=False)


def choose_postprocessing(
    models: Sequence[Path], spec: LabelSpec, *, file: Path | None, wanted: bool
) -> ChosenPostprocessing:
    """The rules of `file`; else those that all models have in their postprocessing.json.

    Args:
        models: folders.
        spec: the labels that will be predicted.
        file: a postprocessing.json, or a folder with one.
        wanted: False: no rules.

    Raises:
        UserError: when a file is wrong, or of other labels.
    """
    none = ChosenPostprocessing((), spec, "")
    if not wanted:
        return none
    if file is not None:
        source = file / FILE if file.is_dir() else file
        return _of(source, spec)
    own = [model / FILE for model in models if (model / FILE).is_file()]
    if not own:
        return none
    found = [_of(source, spec) for source in own]
    if len(own) < len(models) or any(other.rules != found[0].rules for other in found):
        if not any(one.rules for one in found):
            return none
        told = f"The models are not postprocessed alike, so no {FILE} is applied (--postprocessing names one)."
        return ChosenPostprocessing((), spec, told)
    return found[0]


def _of(source: Path, spec: LabelSpec) -> ChosenPostprocessing:
    found = Postprocessing.load(source)
    found.require_labels(spec, source=source)
    told = f"Postprocessing ({source}): {'; '.join(map(str, found.rules))}." if found.rules else ""
    return ChosenPostprocessing(found.rules, spec, told)
