"""Two models of the recycling study averaged: supervised with recycling, and the controls of two alike."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from study_agreement import KEY, agreement, as_json
from study_measure import STEPS, row_files
from study_runs import Run, Study
from study_scores import Part, write_parts

from autodiffseg.atomic import atomic_path, write_json
from autodiffseg.evaluation.step_scores import StepScores
from autodiffseg.evaluation.summary import class_keys
from autodiffseg.images import read_label
from autodiffseg.trainers.analysis_source import AnalysisSource, Fold, SourceRequest
from autodiffseg.trainers.prediction import make_predictor
from autodiffseg.trainers.provenance import git_revision
from autodiffseg.workspace import Workspace

PAIR = Part("ddpm", STEPS, True)
"""How pairs are predicted: as the tables' rows are, and as `predict` does by default."""


class Kind(NamedTuple):
    """Which trainers are averaged, and whether both have the same training seed."""

    first: str
    second: str
    same_seed: bool = False

    @property
    def says(self) -> str:
        """In words."""
        seeds = "same seed" if self.same_seed else "other seeds"
        return f"`{self.first}` + `{self.second}`, {seeds}"


SAME_SEED = Kind("supervised", "recycling", same_seed=True)
"""Two trainings that saw the same batches in the same order."""
MIXED = Kind("supervised", "recycling")
"""Two that saw other batches, as those of a control did."""
CONTROLS = (Kind("supervised", "supervised"), Kind("recycling", "recycling"))
KINDS = (SAME_SEED, MIXED, *CONTROLS)


class Pair(NamedTuple):
    """Two runs whose probabilities are averaged."""

    first: Run
    second: Run

    @property
    def kind(self) -> Kind:
        """Of which kind it is."""
        return Kind(self.first.trainer, self.second.trainer, self.first.seed == self.second.seed)

    @property
    def name(self) -> str:
        """By which its rows are called."""
        return "pair__" + "__".join(f"{run.trainer}-{run.seed}" for run in self)


def pairs(study: Study) -> list[Pair]:
    """Supervised with recycling for all combinations of their seeds, and all two seeds of either."""
    supervised, recycling = study.main_runs("supervised"), study.main_runs("recycling")
    found = [Pair(a, b) for a in supervised for b in recycling]
    found += [Pair(a, b) for alike in (supervised, recycling) for a, b in itertools.combinations(alike, 2)]
    return sorted(found, key=lambda pair: KINDS.index(pair.kind))


def measure_pair(study: Study, pair: Pair, workspace: Workspace, results: Path, *, tell: Callable[[str], None]) -> None:
    """Average the probabilities of two finished runs, score the mean and how alike they are, if that is not done."""
    record, scores = row_files(study, pair.name, results)
    if record.is_file() and scores.is_file() and KEY in json.loads(record.read_text(encoding="utf-8")):
        return
    tell(f"{pair.name}: mean of probabilities")
    sources = [_source(study, run, workspace) for run in pair]
    kept = [_probabilities(study, run, source, workspace) for run, source in zip(pair, sources, strict=True)]
    source, fold = sources[0], sources[0].folds[0]
    scored, alike = {}, {}
    for case in fold.cases:
        first, second = (np.load(folder / f"{case}.npy") for folder in kept)
        scored[case] = [source.score_steps(fold, case, np.mean([first, second], 0)[None])]
        maps = [source.label_map(fold, case, one) for one in (first, second)]
        alike[case] = agreement(*maps, read_label(source.reference(fold.trainer, case))[0], fold.trainer.spec)
    found = StepScores.collect(class_keys(fold.trainer.spec), scored, first_step=STEPS)
    write_parts(scores, {PAIR: found})
    content = {"members": [study.name(run) for run in pair], "revision": git_revision()}
    write_json(record, {"purpose": "pair", **content, KEY: as_json(alike)})


def _source(study: Study, run: Run, workspace: Workspace) -> AnalysisSource:
    return AnalysisSource(study.model(run, workspace), workspace, SourceRequest(folds=(study.fold,)))


def _probabilities(study: Study, run: Run, source: AnalysisSource, workspace: Workspace) -> Path:
    """A folder with the probabilities of every case, `(K, Z, Y, X)` on the preprocessed grid; kept for other pairs."""
    folder = workspace.root / "study_probabilities" / study.dataset / study.name(run)
    for case, probabilities in _predict(source.folds[0], folder):
        with atomic_path(folder / f"{case}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, probabilities)
    return folder


def _predict(fold: Fold, known: Path) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    trainer = fold.trainer
    predictor = make_predictor([trainer], trainer.plan, trainer.configuration_name, trainer.spec, device=trainer.device)
    for case in fold.cases:
        if not (known / f"{case}.npy").is_file():
            yield case, predictor.predict(np.asarray(fold.store.image(case)[:]), case)
