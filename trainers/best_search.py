"""BestSearch: cross-validated Dice of all runs of a dataset and of their pairs, and the choice among them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.evaluation.choice import Candidate, CaseDice, Choice, choose
from autodiffseg.evaluation.summary import class_keys
from autodiffseg.images import read_geometry
from autodiffseg.workspace import Workspace

from .candidate_runs import CandidateRun, Lack, RunFilter, find_candidates
from .pair_scores import RunPair
from .prediction_cost import operations_per_case
from .probability_cache import ProbabilityCache

if TYPE_CHECKING:
    import torch

FOLDER = "find_best"
"""In the results of a dataset: what can be made again from the runs."""
Stage = Callable[[str, int], Callable[[], None]]
"""Given the name of a stage and its number of steps: what to call after each step."""


@dataclass(frozen=True)
class BestSearch:
    """The runs of a dataset that take part in a search."""

    workspace: Workspace
    dataset: str
    declared: DatasetJson
    runs: tuple[CandidateRun, ...]
    lacks: tuple[Lack, ...]
    cases: tuple[str, ...]
    """That all runs have predicted without having been trained on them."""
    pairs: tuple[RunPair, ...]

    @classmethod
    def of(cls, workspace: Workspace, dataset: str, chosen: RunFilter, *, with_pairs: bool) -> BestSearch:
        """All that has finished of the runs that fit.

        Raises:
            UserError: when no run fits, or those that do have no case in common.
        """
        declared = DatasetJson.load(workspace.dataset_json_path(dataset))
        runs, lacks = find_candidates(workspace, dataset, declared, chosen)
        common = sorted(set.intersection(*(set(run.scores) for run in runs)))
        if not common:
            told = "; ".join(f"{run.name} has fold {', '.join(run.records)}" for run in runs)
            raise UserError(f"The runs have validated no case in common: {told}. Train the same folds of them.")
        folder = workspace.results(dataset) / FOLDER
        single = [run for run in runs if not run.record.members]
        ensembles = [set(run.record.members) for run in runs]
        pairs = [
            RunPair(first, second, folder)
            for first, second in itertools.combinations(single, 2)
            if {first.name, second.name} not in ensembles  # such a pair is there as a run
        ]
        return cls(
            workspace, dataset, declared, tuple(runs), tuple(lacks), tuple(common), tuple(pairs if with_pairs else ())
        )

    @property
    def folder(self) -> Path:
        """Where probabilities and scores of pairs are kept."""
        return self.workspace.results(self.dataset) / FOLDER

    @property
    def references(self) -> Path:
        """Folder of the reference label maps."""
        return self.workspace.reference_labels(self.dataset)

    @property
    def cache(self) -> ProbabilityCache:
        """The probabilities of the runs."""
        return ProbabilityCache(self.folder / "probabilities", self.workspace)

    def run(self, device: torch.device, precision: str, stage: Stage) -> Choice:
        """Score all candidates and rank them; what was scored before is taken from disk.

        Raises:
            UserError: when something that was there is missing or damaged.
        """
        candidates = [self._single(run) for run in self.runs]
        costs = {candidate.name: candidate.cost for candidate in candidates}
        scores = {pair.name: pair.known(self.cases, self.declared.file_ending) for pair in self.pairs}
        todo = [pair for pair in self.pairs if scores[pair.name] is None]
        self._predict(self._runs_to_predict(), device, precision, stage)
        step = stage("Scoring pairs", len(todo) * len(self.cases)) if todo else None
        for pair in self.pairs:
            dice = scores[pair.name]
            if dice is None:
                assert step is not None
                spec, ending = self.declared.spec, self.declared.file_ending
                dice = pair.score(self.cases, self.cache, spec, self.references, ending, step)
            candidates.append(Candidate(pair.name, dice, sum(costs[run.name] for run in pair.runs)))
        return choose(candidates, group=self.declared.group if self.declared.has_groups else None)

    def bytes_to_predict(self) -> int:
        """How much the probabilities that are missing take on disk at most: uncompressed."""
        channels, ending, total = self.declared.spec.channels, self.declared.file_ending, 0
        for run in self._runs_to_predict():
            for cases in self.cache.missing(run, self.cases).values():
                shapes = [read_geometry(self.references / f"{case}{ending}").shape for case in cases]
                total += sum(2 * channels * math.prod(shape) for shape in shapes)
        return total

    def runs_of(self, name: str) -> tuple[CandidateRun, ...]:
        """The runs of a candidate."""
        pairs = {pair.name: pair.runs for pair in self.pairs}
        return pairs.get(name) or tuple(run for run in self.runs if run.name == name)

    def pair(self, name: str) -> RunPair | None:
        """The pair of a candidate, None for a single run."""
        return next((pair for pair in self.pairs if pair.name == name), None)

    def _runs_to_predict(self) -> list[CandidateRun]:
        """The runs of pairs that have no scores yet."""
        ending = self.declared.file_ending
        names = {run.name for pair in self.pairs if pair.known(self.cases, ending) is None for run in pair.runs}
        return [run for run in self.runs if run.name in names]

    def _predict(self, runs: Sequence[CandidateRun], device: torch.device, precision: str, stage: Stage) -> None:
        lacking = sum(len(cases) for run in runs for cases in self.cache.missing(run, self.cases).values())
        if lacking:
            step = stage("Predicting", lacking)
            for run in runs:
                self.cache.fill(run, self.cases, device, precision, step)

    def _single(self, run: CandidateRun) -> Candidate:
        keys = class_keys(self.declared.spec)
        dice: CaseDice = {
            case: {key: run.scores[case].metrics[key].get("Dice", np.nan) for key in keys} for case in self.cases
        }
        return Candidate(run.name, dice, operations_per_case(run.folder, self.workspace, self.cases))
