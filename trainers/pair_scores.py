"""The cross-validated Dice of a pair of runs: of the mean of their probabilities, by folds that never saw the case."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from autodiffseg.errors import UserError
from autodiffseg.evaluation.overlap import class_overlaps
from autodiffseg.evaluation.probability_file import read_probabilities
from autodiffseg.evaluation.statistics import none_if_nan
from autodiffseg.evaluation.summary import class_keys
from autodiffseg.images import read_label, write_image
from autodiffseg.labels import LabelSpec
from autodiffseg.records import Record

from .candidate_runs import CandidateRun
from .probability_cache import CachedFold, ProbabilityCache

RECORD = "pair.json"
ClassDice = dict[str, float]
"""Class key -> Dice, NaN where prediction and reference are both empty."""


class PairRecord(Record):
    """pair.json: the scores of a pair, whose label maps lie beside it."""

    schema_version: int = 1
    made_by: dict[str, dict[str, CachedFold]]
    """Run -> fold -> its checkpoint, and how it predicted."""
    dice: dict[str, dict[str, float | None]]
    """Case -> class key -> Dice, null where there is none."""


class RunPair:
    """Two runs, predicting together."""

    def __init__(self, first: CandidateRun, second: CandidateRun, folder: Path) -> None:
        """Keep label maps and scores in a folder of their own in `folder`."""
        self.runs = (first, second)
        self.name = f"{first.name}+{second.name}"
        self.folder = folder / self.name

    def known(self, cases: Sequence[str], ending: str) -> dict[str, ClassDice] | None:
        """The scores of `cases`, if all of them have been kept and the runs have the weights and sampling of then."""
        try:
            record = PairRecord.load(self.folder / RECORD)
        except UserError:  # none, or one of an earlier version; it can be made again
            return None
        if record.made_by != self._made_by() or not set(cases) <= set(record.dice):
            return None
        if not all((self.folder / f"{case}{ending}").is_file() for case in cases):
            return None
        return {
            case: {key: math.nan if value is None else value for key, value in record.dice[case].items()}
            for case in cases
        }

    def score(
        self,
        cases: Sequence[str],
        cache: ProbabilityCache,
        spec: LabelSpec,
        references: Path,
        ending: str,
        on_case: Callable[[], None],
    ) -> dict[str, ClassDice]:
        """Write the label maps of `cases`, whose probabilities are in `cache`, score them and keep the scores.

        Args:
            cases: that both runs have validated.
            cache: of both runs.
            spec: what the channels mean.
            references: folder of the label maps CASE + `ending`.
            ending: of label files.
            on_case: told of every case that is done.

        Raises:
            UserError: when a file is missing, damaged or cannot be written.
        """
        (self.folder / RECORD).unlink(missing_ok=True)  # where it is, it tells of all label maps beside it
        scores: dict[str, ClassDice] = {}
        keys = {name: key for key, name in class_keys(spec).items()}
        for case in cases:
            reference, grid = read_label(references / f"{case}{ending}")
            first, second = (read_probabilities(cache.file(run, case), spec, grid.shape) for run in self.runs)
            label = spec.decode((first.astype(np.float32) + second) / 2)
            write_image(self.folder / f"{case}{ending}", label, grid)
            scores[case] = {keys[name]: found.dice for name, found in class_overlaps(label, reference, spec).items()}
            on_case()
        kept = {case: {key: none_if_nan(value) for key, value in dice.items()} for case, dice in scores.items()}
        PairRecord(made_by=self._made_by(), dice=kept).save(self.folder / RECORD)
        return scores

    def _made_by(self) -> dict[str, dict[str, CachedFold]]:
        return {run.name: {fold: CachedFold.of(run, fold) for fold in run.records} for run in self.runs}
