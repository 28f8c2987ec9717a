"""ProbabilityCache: what each run makes of its validation cases, as probabilities on disk, so that pairs are cheap."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import torch

from autodiffseg.inference.export import Prediction, restore_label
from autodiffseg.inference.probability_file import probability_file
from autodiffseg.records import Record
from autodiffseg.runs import fold_folder
from autodiffseg.sampling import Sampling
from autodiffseg.workspace import Workspace

from .candidate_runs import CandidateRun
from .checkpoints import LAST, load_trainer
from .validation import TrainedFold

RECORD = "probabilities.json"


class CachedFold(Record):
    """probabilities.json: what the probabilities beside it were made by; pair.json holds one for each fold."""

    schema_version: int = 1
    checkpoint: str
    """Hash of its file."""
    sampling: Sampling
    previous_segmentations: str
    """Of a cascade: hash of what it was shown."""

    @classmethod
    def of(cls, run: CandidateRun, fold: str) -> Self:
        """What would make them now."""
        return cls(
            checkpoint=run.checkpoints[fold],
            sampling=run.sampling,
            previous_segmentations=run.records[fold].previous_segmentations,
        )


class ProbabilityCache:
    """`RUN/fold_k/CASE.npz`: probabilities `(K, Z, Y, X)` float16 on the raw grid, by the fold's last checkpoint."""

    def __init__(self, folder: Path, workspace: Workspace) -> None:
        """Use `folder`; it need not exist yet."""
        self.folder, self._workspace = folder, workspace

    def file(self, run: CandidateRun, case: str) -> Path:
        """Where the probabilities of a case lie."""
        return fold_folder(self.folder / run.name, run.fold_of[case]) / f"{case}.npz"

    def missing(self, run: CandidateRun, cases: Iterable[str]) -> dict[str, list[str]]:
        """Fold -> those of `cases` whose probabilities are not there; what other weights made does not count."""
        found: dict[str, list[str]] = {}
        for fold in run.records:
            path = fold_folder(self.folder / run.name, fold) / RECORD
            same = path.is_file() and CachedFold.load(path) == CachedFold.of(run, fold)
            lacking = [
                case for case in cases if run.fold_of[case] == fold and not (same and self.file(run, case).is_file())
            ]
            if lacking:
                found[fold] = lacking
        return found

    def fill(
        self, run: CandidateRun, cases: Iterable[str], device: torch.device, precision: str, on_case: Callable[[], None]
    ) -> None:
        """Predict what is missing of `cases`; each appears whole, so that an interrupted search goes on.

        Raises:
            UserError: when a checkpoint or a case is missing, or a file cannot be written.
        """
        for fold, lacking in self.missing(run, cases).items():
            folder, made_by = fold_folder(self.folder / run.name, fold), CachedFold.of(run, fold)
            if not (folder / RECORD).is_file() or CachedFold.load(folder / RECORD) != made_by:
                shutil.rmtree(folder, ignore_errors=True)
                made_by.save(folder / RECORD)
            source = fold_folder(run.folder, fold)
            trained = TrainedFold(load_trainer(source / LAST, device, precision), source)
            member = trained.member(self._workspace, run.sampling)
            for case in lacking:
                prediction = member.predict(case)
                _write(self.file(run, case), prediction, trained)
                on_case()


def _write(path: Path, prediction: Prediction, trained: TrainedFold) -> None:
    spec = trained.trainer.spec
    with probability_file(path, (spec.channels, *prediction.properties.geometry.shape)) as add:
        restore_label([prediction], spec, pass_on=add)
