"""A shifted set: labelled images of another domain, on which models are scored by the classes that they declare."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.evaluation.folder import read_pair
from autodiffseg.evaluation.overlap import LabelMap
from autodiffseg.evaluation.placement import require_same_orientation
from autodiffseg.evaluation.scoring import score_label_maps
from autodiffseg.evaluation.summary import CaseScores, Summary, class_keys
from autodiffseg.file_hashes import hash_cases, hash_of_text
from autodiffseg.labels import LabelSpec
from autodiffseg.prediction_inputs import check_prediction_inputs
from autodiffseg.preprocessing.parallel import default_processes, for_each_case, useful_processes

DATASET_JSON = "dataset.json"
PREDICTIONS = "shifted"
"""Folder of a trained fold with its predictions of shifted sets, a folder for each, by name."""


@dataclass(frozen=True)
class ShiftedSet:
    """Images, their label maps, and what the set itself says of its labels."""

    name: str
    images: Path
    """Folder of CASE_0000.ext."""
    labels: Path
    """Folder of CASE.ext."""
    declared: DatasetJson
    cases: tuple[str, ...]
    """Those that have a label, sorted."""
    files: Mapping[str, tuple[Path, ...]]
    """Case -> its images in channel order."""

    @property
    def classes(self) -> dict[str, str]:
        """Class key -> name, of the classes that are scored."""
        return class_keys(self.declared.spec)

    @property
    def group(self) -> Callable[[str], str] | None:
        """The group of a case, where cases belong to groups."""
        return self.declared.group if self.declared.has_groups else None

    @cached_property
    def image_hashes(self) -> dict[str, str]:
        """Case -> hash of its images, as they were when this was first asked; predict.json has the same.

        Raises:
            UserError: when one cannot be read.
        """
        return hash_cases(self.files, threads=default_processes())

    @cached_property
    def reference_hash(self) -> str:
        """Of the label maps and what their integers mean, as they were when this was first asked.

        Raises:
            UserError: when one cannot be read.
        """
        maps = hash_cases({case: (self.reference(case),) for case in self.cases}, threads=default_processes())
        return hash_of_text(json.dumps([self.declared.spec.model_dump(mode="json"), maps], sort_keys=True))

    def reference(self, case: str) -> Path:
        """The label map of a case."""
        return self.labels / f"{case}{self.declared.file_ending}"

    def predictions(self, fold: Path) -> Path:
        """Where the predictions of the trained fold in this folder lie."""
        return fold / PREDICTIONS / self.name


def read_shifted_set(images: Path, labels: Path, name: str, *, model: DatasetJson) -> ShiftedSet:
    """Look at a set that models of a dataset are to be tried on, before work starts.

    Of the images only headers are read. The set's dataset.json lies in the folder of the labels or beside that.

    Args:
        images: folder of CASE_0000.ext.
        labels: folder of CASE.ext.
        name: of the set.
        model: dataset.json of the models' dataset.

    Raises:
        UserError: when a folder, the dataset.json or all labels are missing, the name cannot be that of a folder, or
            the models cannot predict the images or have not learned the classes.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"--shifted … {name}: letters, digits, '.', '-' and '_' are possible in the name.")
    for folder in (images, labels):
        if not folder.is_dir():
            raise UserError(f"--shifted: {folder} is no folder; give folders of images and of labels, and a name.")
    places = [folder / DATASET_JSON for folder in (labels, labels.resolve().parent)]
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        raise UserError(
            f"--shifted: neither {places[0]} nor {places[1]} exists; a dataset.json must say what the labels mean."
        )
    declared = DatasetJson.load(path)
    ending = declared.file_ending
    cases = sorted(
        file.name.removesuffix(ending)
        for file in labels.iterdir()
        if file.name.endswith(ending) and not file.name.startswith(".")
    )
    if not cases:
        raise UserError(f"--shifted: {labels} holds no {ending} file, which {path} says its labels are.")
    files = check_prediction_inputs(images, model.file_ending, len(model.channels))
    missing = [case for case in cases if case not in files]
    if missing:
        raise UserError(
            f"--shifted: {images} has no image of {len(missing)} of the {len(cases)} cases that {labels} has (first: "
            f"{missing[0]}_0000{model.file_ending}); add what is missing, or remove the labels."
        )
    found = ShiftedSet(name, images, labels, declared, tuple(cases), {case: files[case] for case in cases})
    translation(model.spec, found)
    return found


def translation(model: LabelSpec, shifted: ShiftedSet) -> dict[int, int]:
    """What a model's integers are called in the shifted set: by the names of the classes; others are background.

    Raises:
        UserError: when the model does not know a class that the set declares, or regions are made of other integers.
    """
    spec = shifted.declared.spec
    strange = [name for name in spec.foreground if name not in model.foreground]
    if strange:
        raise UserError(
            f"--shifted: {shifted.name} declares the class '{strange[0]}', which the model has not learned; it knows "
            f"{', '.join(model.foreground)}."
        )
    if not (spec.has_regions or model.has_regions):
        return {model.foreground[name][0]: members[0] for name, members in spec.foreground.items()}
    for name, members in spec.foreground.items():
        if set(members) != set(model.foreground[name]):
            raise UserError(
                f"--shifted: the region '{name}' is {members} in {shifted.name} and {model.foreground[name]} in the "
                "model's dataset; give both the same integers."
            )
    return {member: member for members in spec.foreground.values() for member in members}


class ShiftedTask(NamedTuple):
    """One case to score, in a form that a worker process can be given."""

    case: str
    prediction: Path
    reference: Path
    spec: LabelSpec
    """Of the shifted set."""
    names: Mapping[int, int]
    """From `translation`."""
    metrics: tuple[str, ...]


def score_shifted(
    shifted: ShiftedSet,
    predictions: Path,
    model: LabelSpec,
    *,
    ending: str,
    metrics: Sequence[str],
    processes: int = 1,
    on_case: Callable[[], None] | None = None,
) -> Summary:
    """Score a model's predictions of a shifted set on the classes that the set declares.

    Args:
        shifted: the set.
        predictions: folder of CASE + `ending`.
        model: what the integers in them mean.
        ending: of the predictions.
        metrics: names.
        processes: that work.
        on_case: called after each case.

    Raises:
        UserError: names what does not fit, or every case whose prediction is missing, unreadable or on another grid.
    """
    names = translation(model, shifted)
    tasks = {
        case: ShiftedTask(
            case,
            predictions / f"{case}{ending}",
            shifted.reference(case),
            shifted.declared.spec,
            names,
            tuple(metrics),
        )
        for case in shifted.cases
    }
    missing = [case for case, task in tasks.items() if not task.prediction.is_file()]
    if missing:
        raise UserError(
            f"{predictions} has no prediction of {len(missing)} of the {len(tasks)} cases that {shifted.labels} has "
            f"(first: {missing[0]}); see that {shifted.images} has their images."
        )
    require_same_orientation({case: (task.prediction, task.reference) for case, task in tasks.items()})
    count = useful_processes([task.reference for task in tasks.values()], processes)
    scored = for_each_case(score_shifted_case, tasks, processes=count, on_case=on_case)
    return Summary(shifted.classes, tuple(scored.values()))


def score_shifted_case(task: ShiftedTask) -> CaseScores:
    """The metrics of one case, in the shifted set's classes.

    Raises:
        UserError: when a file cannot be read or the two are on different grids.
    """
    prediction, reference, spacing_mm = read_pair(task.prediction, task.reference)
    translated = translated_labels(prediction, task.names)
    scores = score_label_maps(translated, reference, task.spec, spacing_mm=spacing_mm, metrics=task.metrics)
    return CaseScores(task.case, scores, str(task.prediction), str(task.reference))


def translated_labels(label: LabelMap, names: Mapping[int, int]) -> LabelMap:
    """A label map `(Z, Y, X)` in other integers; those without a name are 0."""
    lookup = np.zeros(int(label.max(initial=0)) + 1, dtype=np.int16)
    for own, theirs in names.items():
        if own < len(lookup):
            lookup[own] = theirs
    translated: LabelMap = lookup[label.clip(min=0)]
    return translated
