"""Finding the rules that help: each is tried on cross-validation predictions and must not harm any class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autodiffseg import __version__
from autodiffseg.evaluation.statistics import group_means, mean_of, none_if_nan, paired_wilcoxon
from autodiffseg.labels import LabelSpec
from autodiffseg.postprocessing.record import NOTE, DiceFigures, Postprocessing, Trial
from autodiffseg.postprocessing.rules import Rule
from autodiffseg.postprocessing.tables import CaseTables, TableTask, scopes_of, table_case
from autodiffseg.preprocessing.parallel import for_each_case, useful_processes

Scores = npt.NDArray[np.float64]
"""Dice, `(cases, K)`; NaN where prediction and reference are both empty."""


class Pair(NamedTuple):
    """A prediction and its reference."""

    prediction: Path
    reference: Path


def find_rules(
    pairs: Mapping[str, Pair],
    spec: LabelSpec,
    *,
    groups: Sequence[str] | None = None,
    processes: int = 1,
    on_pass: Callable[[int], None] | None = None,
) -> Postprocessing:
    """The rules that raise the mean Dice of these predictions without lowering that of any class.

    Tried in this order: to keep the largest component of the foreground as a whole, then that of each class; to remove
    small components of the foreground, then of each class, with the best of the volumes 1, 2, 5, 10, 20, … mm³. Each is
    tried on what the rules before it have left.

    Args:
        pairs: case -> files. The predictions must be of cases that their model did not train on.
        spec: what the integers mean.
        groups: of the cases in order (patient, site): the test counts a group once.
        processes: that read files.
        on_pass: told the number of each pass over the files that begins, from 1.

    Raises:
        UserError: names every case whose files are unreadable or on different grids.
    """
    search = _Search(pairs, spec, processes, on_pass)
    scopes = scopes_of(spec)
    trials: list[Trial] = []
    before = search.scores()
    for operation in ("keep-largest", "remove-small"):
        for scope in scopes:
            search.refresh(scope)
            candidates = [Rule(operation="keep-largest", label=scope)]
            if operation == "remove-small":
                candidates = [
                    Rule(operation="remove-small", label=scope, min_volume_mm3=volume)
                    for volume in round_volumes(search.volumes(scope))
                ]
            if candidates:
                trials.append(_try(candidates, search, groups))
    after = search.scores()
    return Postprocessing(
        labels=spec.labels,
        regions_class_order=spec.regions_class_order,
        rules=tuple(search.rules),
        cases=len(pairs),
        before=_figures(before, spec),
        after=_figures(after, spec),
        p=_p_value(before, after, groups),
        tried=tuple(trials),
        note=NOTE,
        versions={"autodiffseg": __version__},
    )


def round_volumes(volumes_mm3: npt.NDArray[np.float64]) -> list[float]:
    """1, 2, 5, 10, 20, … (and 0.5, 0.2, …) above the smallest of the volumes and not above the largest."""
    if not volumes_mm3.size:
        return []
    low, high = float(volumes_mm3.min()), float(volumes_mm3.max())
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    series = [float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)]
    return [volume for volume in series if low < volume <= high]


class _Search:
    """The cases as the adopted rules have left them."""

    def __init__(
        self, pairs: Mapping[str, Pair], spec: LabelSpec, processes: int, on_pass: Callable[[int], None] | None
    ) -> None:
        self._pairs, self.spec, self._on_pass = pairs, spec, on_pass
        self._processes = useful_processes([path for pair in pairs.values() for path in pair], processes)
        self._passes = 0
        self._stale: set[str | None] = set()
        self.rules: list[Rule] = []
        self.cases: list[CaseTables] = []
        self._read()

    def _read(self) -> None:
        self._passes += 1
        if self._on_pass is not None:
            self._on_pass(self._passes)
        tasks = {case: TableTask(*pair, self.spec, tuple(self.rules)) for case, pair in self._pairs.items()}
        self.cases = list(for_each_case(table_case, tasks, processes=self._processes).values())
        self._stale = set()

    def refresh(self, scope: str | None) -> None:
        """Read the files anew if the components of a scope are no longer what they were."""
        if scope in self._stale:
            self._read()

    def adopt(self, rule: Rule) -> None:
        self.rules.append(rule)
        self.cases = [case.after(rule) for case in self.cases]
        # Exclusive classes have no voxel in common: taking some from one leaves the components of the others.
        alone = rule.label is not None and not self.spec.has_regions
        self._stale |= {None} if alone else set(scopes_of(self.spec)) - {rule.label}

    def scores(self) -> Scores:
        return np.stack([case.dice() for case in self.cases])

    def volumes(self, scope: str | None) -> npt.NDArray[np.float64]:
        return np.concatenate([case.scopes[scope].volumes_mm3 for case in self.cases])


def _try(candidates: Sequence[Rule], search: _Search, groups: Sequence[str] | None) -> Trial:
    """Adopt the best candidate that helps, if there is one; else tell of the one with the highest mean."""
    names, before = list(search.spec.foreground), search.scores()
    tried = []
    for rule in candidates:
        scores = np.stack([case.after(rule).dice() for case in search.cases])
        reason = _objection(before, scores, names)
        tried.append((not reason, _mean(scores), rule, scores, reason))
    adopted, _, rule, scores, reason = max(tried, key=lambda one: one[:2])  # of equals the first
    if adopted:
        search.adopt(rule)
        reason = f"the mean rises from {_mean(before):.6f} to {_mean(scores):.6f} and no class falls"
    return Trial(
        rule=rule,
        adopted=adopted,
        why=reason,
        changed_cases=sum(not np.array_equal(*rows, equal_nan=True) for rows in zip(before, scores, strict=True)),
        before=_figures(before, search.spec),
        after=_figures(scores, search.spec),
        p=_p_value(before, scores, groups),
    )


def _objection(before: Scores, after: Scores, names: Sequence[str]) -> str:
    """Why a rule is not adopted; "" when it is."""
    if np.array_equal(before, after, equal_nan=True):
        return "it changes nothing"
    for name, old, new in zip(names, before.T, after.T, strict=True):
        if mean_of(new) < mean_of(old):
            return f"{name} would fall from {mean_of(old):.6f} to {mean_of(new):.6f}"
    if not _mean(after) > _mean(before):
        return f"the mean would not rise ({_mean(before):.6f} to {_mean(after):.6f})"
    return ""


def _mean(scores: Scores) -> float:
    """Mean over classes of their means over cases; -1 where there is none, so that it can be compared."""
    mean = mean_of(np.array([mean_of(column) for column in scores.T]))
    return -1.0 if math.isnan(mean) else mean


def _figures(scores: Scores, spec: LabelSpec) -> DiceFigures:
    means = [mean_of(column) for column in scores.T]
    shown = {name: none_if_nan(mean) for name, mean in zip(spec.foreground, means, strict=True)}
    return DiceFigures(mean=none_if_nan(mean_of(np.array(means))), classes=shown)


def _p_value(before: Scores, after: Scores, groups: Sequence[str] | None) -> float | None:
    """Wilcoxon's test of the mean over classes, case by case or group by group."""
    units = []
    for scores in (before, after):
        cases = np.array([mean_of(row) for row in scores])
        units.append(group_means(cases, groups) if groups is not None else cases)
    return paired_wilcoxon(units[1], units[0]).p
