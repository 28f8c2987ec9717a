"""Which rules of postprocessing a prediction applies: the model's own, those of a file, or none."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autodiffseg.geometry import Geometry
from autodiffseg.labels import LabelSpec
from autodiffseg.postprocessing.origin import folds_trained_anew
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
    models: Sequence[Path], folds: Sequence[str], spec: LabelSpec, *, file: Path | None, wanted: bool
) -> ChosenPostprocessing:
    """The rules of `file`; else those that all models have in their postprocessing.json.

    A model's own are not applied when one of the folds was trained anew since they were found.

    Args:
        models: folders.
        folds: that predict; none means all that have finished.
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
        return _chosen(_load(source, spec), spec, source)
    own = {model: _load(model / FILE, spec) for model in models if (model / FILE).is_file()}
    if not own:
        return none
    for model, record in own.items():
        if record.rules and (anew := folds_trained_anew(record, model, folds)):
            told = (
                f"{model / FILE} is not applied: fold {', '.join(anew)} has other weights than it was found for. "
                f"Find rules anew with `autodiffseg postprocess -i {shlex.quote(str(model))} --find`, or name the file "
                "with --postprocessing."
            )
            return ChosenPostprocessing((), spec, told)
    found = list(own.values())
    if len(own) < len(models) or any(other.rules != found[0].rules for other in found):
        if not any(one.rules for one in found):
            return none
        told = f"The models are not postprocessed alike, so no {FILE} is applied (--postprocessing names one)."
        return ChosenPostprocessing((), spec, told)
    model, record = next(iter(own.items()))
    chosen = _chosen(record, spec, model / FILE)
    undated = [model for model, record in own.items() if record.rules and record.tried and not record.checkpoints]
    if undated:
        hint = (
            " It does not say for which weights it was found; if a fold was trained anew since, find rules anew with "
            f"`autodiffseg postprocess -i {shlex.quote(str(undated[0]))} --find`."
        )
        return ChosenPostprocessing(chosen.rules, spec, chosen.told + hint)
    return chosen


def _load(source: Path, spec: LabelSpec) -> Postprocessing:
    found = Postprocessing.load(source)
    found.require_labels(spec, source=source)
    return found


def _chosen(found: Postprocessing, spec: LabelSpec, source: Path) -> ChosenPostprocessing:
    told = f"Postprocessing ({source}): {'; '.join(map(str, found.rules))}." if found.rules else ""
    return ChosenPostprocessing(found.rules, spec, told)
