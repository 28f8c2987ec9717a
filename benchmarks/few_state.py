"""What is known of the few-label study: the rows that are there, as domains of label curves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from few_measure import Measured, labels_of, read_row
from few_rows import (
    ABLATIONS,
    DOMAINS,
    FOLD,
    LONGER,
    LUNGS_AS_ONE,
    METHODS,
    PROBES,
    SHIFTED_NAME,
    SHORTER,
    Method,
    Row,
    Setting,
    rows,
)

from autodiffseg.evaluation.label_curves import Domain, Gap, Place, gap_of, unit_values
from autodiffseg.evaluation.statistics import Values

ABOUT = "study.json"
"""In the folder of the rows: the pretraining, the pool and what of the shifted set is in it."""


@dataclass(frozen=True)
class State:
    """The measured rows."""

    setting: Setting
    measured: dict[Row, Measured]
    about: dict[str, Any]
    """Of the pretraining and the pool; {} while there is none."""

    @classmethod
    def read(cls, setting: Setting) -> State:
        """Read what is there."""
        found = {row: one for row in rows() if (one := read_row(setting, row)) is not None}
        path = setting.results / ABOUT
        return cls(setting, found, json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {})

    @property
    def missing(self) -> list[str]:
        """Rows without a file, by name."""
        return [self.setting.name(row) for row in rows() if row not in self.measured]

    def lacks(self, *methods: Method) -> bool:
        """Whether a row of these methods is missing."""
        return any(row.method in methods and row not in self.measured for row in rows())

    def domains(
        self,
        methods: Sequence[Method] = (*METHODS, *ABLATIONS, *LONGER, *SHORTER, *PROBES),
        names: Sequence[str] = (*DOMAINS, *LUNGS_AS_ONE.values()),
    ) -> list[Domain]:
        """The validation cases and the shifted set, scored in both ways, with the rows of these methods."""
        found = []
        for name in names:
            trainings: dict[Place, dict[str, Any]] = {}
            classes: dict[str, str] = {}
            for row, one in self.measured.items():
                if row.method in methods:
                    place = Place(labels_of(row, one), row.method.name)
                    trainings.setdefault(place, {})[f"{row.label_seed}.0.{FOLD}"] = one.scores[name]
                    classes = one.classes[name]
            shifted = name in (SHIFTED_NAME, LUNGS_AS_ONE[SHIFTED_NAME])
            found.append(Domain(name, classes, trainings, self.group if shifted else None))
        return [domain for domain in found if domain.trainings]

    @property
    def group(self) -> Callable[[str], str] | None:
        """The patient of a case of the shifted set, of whom some have several images."""
        patients: dict[str, str] = self.about.get("patients", {})
        return patients.__getitem__ if patients else None

    @cached_property
    def values(self) -> dict[str, dict[Place, dict[str, Values]]]:
        """Domain -> row -> training -> Dice of every case."""
        return {domain.name: unit_values(domain, "Dice")[0] for domain in self.domains()}

    def gap(self, method: Method, *others: Method, labels: int | None, domain: str) -> Gap | None:
        """One method less the mean of others with as many labels; None while one of them is missing."""
        count = labels if labels is not None else self.all_labels
        known = self.values.get(domain, {})
        found = [known.get(Place(count, one.name)) for one in (method, *others)]
        there = [trainings for trainings in found if trainings is not None]
        return gap_of(there[0], _mean_of(there[1:])) if len(there) == len(found) else None

    @cached_property
    def all_labels(self) -> int:
        """How many all labels are; 0 while no row tells."""
        return next((labels_of(row, one) for row, one in self.measured.items() if row.labels is None), 0)

    @cached_property
    def passes(self) -> dict[Place, str]:
        """Network calls of one prediction."""
        return {Place(labels_of(row, one), row.method.name): str(one.passes) for row, one in self.measured.items()}


def _mean_of(methods: Sequence[dict[str, Values]]) -> dict[str, Values]:
    """Of every unit the mean over methods, training by training of those that all have."""
    shared = [name for name in methods[0] if all(name in trainings for trainings in methods)]
    return {name: np.mean([trainings[name] for trainings in methods], axis=0) for name in shared}
