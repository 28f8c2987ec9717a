"""What is known of a study: the rows that are there, and the values that tables and findings are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from study_agreement import Agreement, mean_agreement
from study_measure import STEPS, Rows, rows_of
from study_pairs import PAIR, Kind, pairs
from study_runs import Purpose, Run, Study
from study_scores import Part

from autodiffseg.evaluation.difference import Difference
from autodiffseg.evaluation.seed_bootstrap import FEWEST_SEEDS, bootstrap_over_seeds
from autodiffseg.evaluation.statistics import Interval, Values, bootstrap_mean, paired_wilcoxon
from autodiffseg.evaluation.step_scores import StepScores


class Trained(NamedTuple):
    """The case means of a method, one line for each training."""

    seeds: tuple[int, ...]
    values: Values
    """`(seeds, cases)`."""


@dataclass(frozen=True)
class SeedsDifference(Difference):
    """One method less another, paired by case; the test is of the cases' means over training seeds."""

    seeds: tuple[int, ...]
    """Training seeds that both have: what was compared."""


@dataclass(frozen=True)
class State:
    """The measured rows of a study."""

    study: Study
    rows: dict[str, Rows]
    """By name of the run or pair."""

    @classmethod
    def read(cls, study: Study, results: Path) -> State:
        """Read what is there."""
        names = [study.name(run) for run in study.runs] + [pair.name for pair in pairs(study)]
        found = {name: rows_of(study, name, results) for name in names}
        return cls(study, {name: rows for name, rows in found.items() if rows is not None})

    def scores(self, run: Run, part: Part) -> StepScores | None:
        """The scores of one run, if they have been measured."""
        rows = self.rows.get(self.study.name(run))
        return rows.parts.get(part) if rows else None

    def runs(self, purpose: Purpose, trainer: str) -> tuple[Run, ...]:
        """The runs of one trainer for one purpose, measured or not."""
        return tuple(run for run in self.study.runs if run.purpose == purpose and run.trainer == trainer)

    def answers(self, runs: tuple[Run, ...], metric: str, sampler: str = "ddpm") -> Trained | None:
        """The case means of the answers, predicted as the product does by default; None if no run has them."""
        found = {run.seed: self.scores(run, answer(run, sampler)) for run in runs}
        return trained({seed: s.foreground(metric)[:, 0, -1] for seed, s in found.items() if s is not None})

    def every_step(self, run: Run, sampler: str = "ddpm") -> StepScores | None:
        """The scores of all steps, without mirroring."""
        return self.scores(run, Part("none" if run.trainer == "supervised" else sampler, _steps(run), False))

    def after_step(self, runs: tuple[Run, ...], metric: str, step: int, sampler: str = "ddpm") -> Trained | None:
        """Case means after a step, counted from 0 or backwards from -1; no mirroring, mean over sampling seeds."""
        found = {run.seed: self.every_step(run, sampler) for run in runs}
        means = {seed: np.nanmean(s.foreground(metric), axis=1) for seed, s in found.items() if s is not None}
        return trained({seed: mean[:, step] for seed, mean in means.items()})

    def rise(self, runs: tuple[Run, ...], metric: str, sampler: str = "ddpm") -> Trained | None:
        """The last step's case means less the first step's, as in `after_step`."""
        first, last = (self.after_step(runs, metric, step, sampler) for step in (0, -1))
        return Trained(first.seeds, last.values - first.values) if first and last else None

    def pair_answers(self, kind: Kind, metric: str) -> Trained | None:
        """The case means of the measured pairs of a kind: by training seed if both have the same, else by number."""
        chosen = [pair for pair in pairs(self.study) if pair.kind == kind and pair.name in self.rows]
        found = [self.rows[pair.name].parts[PAIR].foreground(metric)[:, 0, -1] for pair in chosen]
        seeds = [pair.first.seed if kind.same_seed else place for place, pair in enumerate(chosen)]
        return trained(dict(zip(seeds, found, strict=True)))

    def pair_agreement(self, kind: Kind) -> Agreement | None:
        """How alike the two of a pair of a kind are, on average."""
        chosen = [
            self.rows[pair.name].record for pair in pairs(self.study) if pair.kind == kind and pair.name in self.rows
        ]
        return mean_agreement(chosen)

    @property
    def missing(self) -> list[str]:
        """The runs without rows, by name."""
        return [name for name in map(self.study.name, self.study.runs) if name not in self.rows]


def answer(run: Run, sampler: str = "ddpm") -> Part:
    """How the answers of a run for the tables were predicted."""
    return Part("none" if run.trainer == "supervised" else sampler, _steps(run), True)


def trained(by_seed: dict[int, Values]) -> Trained | None:
    """Lines put together; None when there is none."""
    seeds = tuple(sorted(by_seed))
    return Trained(seeds, np.stack([by_seed[seed] for seed in seeds])) if seeds else None


def difference(method: Trained | None, other: Trained | None) -> SeedsDifference | None:
    """One method less another on the training seeds that both have; None when there are none."""
    seeds = tuple(sorted(set(method.seeds) & set(other.seeds))) if method and other else ()
    if not (method and other and seeds):
        return None
    a, b = (one.values[[one.seeds.index(seed) for seed in seeds]] for one in (method, other))
    test = paired_wilcoxon(a.mean(axis=0), b.mean(axis=0))
    if len(seeds) >= FEWEST_SEEDS:
        return SeedsDifference(bootstrap_over_seeds(a, b), test, seeds)
    return SeedsDifference(bootstrap_mean((a - b).mean(axis=0)), test, seeds)


def level(method: Trained) -> Interval:
    """The mean of a method with its interval: over cases, and over training seeds where there are three."""
    if len(method.seeds) >= FEWEST_SEEDS:
        return bootstrap_over_seeds(method.values)
    return bootstrap_mean(method.values.mean(axis=0))


def _steps(run: Run) -> int:
    return 1 if run.trainer == "supervised" else STEPS
