"""What find-best tells: a table, sentences, and the record with the command to predict with."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from autodiffseg import __version__
from autodiffseg.evaluation.choice import Choice, Standing
from autodiffseg.evaluation.report_table import ReportTable
from autodiffseg.evaluation.statistics import Interval, none_if_nan
from autodiffseg.runs import finished_folds

from .best_search import BestSearch
from .candidate_runs import CandidateRun, Lack
from .inference_record import CandidateRecord, InferenceRecord, LackRecord
from .pair_scores import RunPair


def make_record(
    search: BestSearch,
    choice: Choice,
    prefer: Literal["best", "cheaper"],
    postprocess: Callable[[BestSearch, RunPair], Path | None],
) -> InferenceRecord:
    """inference.json of a finished search.

    Args:
        search: what took part.
        choice: how it did.
        prefer: what the command names.
        postprocess: gives the file of rules for a pair, None where the command need not name it.
    """
    cheaper = choice.cheaper
    chosen = cheaper if prefer == "cheaper" and cheaper is not None else choice.best
    runs, pair = search.runs_of(chosen.name), search.pair(chosen.name)
    rules = postprocess(search, pair) if pair is not None else None
    words = ["autodiffseg", "predict", "-i", "IMAGES", "-o", "OUT", *_model_options(runs)]
    words += ["--postprocessing", str(rules)] if rules is not None else []
    return InferenceRecord(
        dataset=search.dataset,
        cases=search.cases,
        grouped=search.declared.has_groups,
        candidates=tuple(_candidate(search, standing) for standing in choice.standings),
        best=_names(search.runs_of(choice.best.name)),
        cheaper=_names(search.runs_of(cheaper.name)) if cheaper is not None else (),
        chosen=_names(runs),
        command=shlex.join(words),
        missing=tuple(LackRecord(**lack._asdict()) for lack in search.lacks),
        version=__version__,
    )


def table(search: BestSearch, choice: Choice) -> ReportTable:
    """The candidates, the best first."""
    names = short_names(search)
    rows = [
        (
            names[standing.name],
            _with_interval(standing.mean),
            "best" if standing is choice.best else _with_interval(standing.difference),
            standing.cost / 1e12,
        )
        for standing in choice.standings
    ]
    header = ("Run", "Dice [95 %]", "ΔDice to the best", "TFLOP")
    return ReportTable("Candidates, cross-validated", header, (0, 0, 0, 2), tuple(rows))


def short_names(search: BestSearch) -> dict[str, str]:
    """Candidate -> what tells it from the others: trainer, and plan, configuration and tag where they differ."""
    records = {run.name: run.record for run in search.runs}
    several = [
        field for field in ("plan", "configuration") if len({getattr(record, field) for record in records.values()}) > 1
    ]
    short = {}
    for name, record in records.items():
        parts = [record.trainer.rpartition(":")[2], *(getattr(record, field) for field in several), record.tag]
        short[name] = " ".join(part for part in parts if part)
    pairs = {pair.name: " + ".join(short[run.name] for run in pair.runs) for pair in search.pairs}
    return short | pairs


def missing_lines(lacks: Sequence[Lack]) -> Iterator[str]:
    """What is missing, the folds of a run together, with a command that makes one of them."""
    for (run, reason), group in itertools.groupby(lacks, key=lambda lack: (lack.run, lack.lacks)):
        folds = list(group)
        yield (
            f"Missing of {run}: fold {', '.join(lack.fold for lack in folds)}: {reason}."
            + (" For example:" if len(folds) > 1 and folds[0].command else "")
        )
        if folds[0].command:
            yield f"  {folds[0].command}"


def told(search: BestSearch, choice: Choice, record: InferenceRecord) -> Iterator[str]:
    """What a reader of the table must know, in sentences."""
    units = f"{choice.groups} groups" if record.grouped else "cases"
    yield (
        f"Mean over {choice.cases} cases of the mean Dice over classes; intervals are bootstrapped over {units}. Each "
        "case was predicted by folds that did not train on it. TFLOP: 10¹² floating-point operations for a case by one "
        "fold, with all its steps, members, windows and mirrored views."
    )
    part = [f"{run.name} (fold {', '.join(run.records)})" for run in search.runs if len(run.scores) > len(search.cases)]
    if part:
        yield f"Only the cases that all candidates have count; more are there of {', '.join(part)}."
    if choice.left_out:
        yield (
            f"Cases left out: {choice.left_out}, in which a candidate has no Dice, for it found nothing and there is "
            "nothing. What others found there, wrongly, is not in these means."
        )
    if len(choice.standings) > 1:
        yield (
            "The best of several means is a little too high: it was chosen on these cases. One run's interval does not "
            "tell how another training of it would do."
        )
    best, cheaper = choice.best, choice.cheaper
    if cheaper is not None:
        names = short_names(search)
        below = f"is {-cheaper.difference.mean:.4f} below it"
        used = f"costs {_share(cheaper, best)} of what {names[best.name]} costs and {below}"
        error = f"within one standard error of the paired difference ({cheaper.standard_error:.4f})"
        hint = "" if record.chosen == record.cheaper else "; --prefer cheaper takes it"
        yield f"Advice: {names[cheaper.name]} {used}, {error}{hint}."
    if search.pairs:
        yield (
            f"Probabilities and scores of pairs are kept in {search.folder} for the next search; the folder may be "
            "removed, but for what the command below names."
        )


def _model_options(runs: Sequence[CandidateRun]) -> list[str]:
    """The options of `predict` that name the runs, and the folds where it would take others by itself."""
    words = [word for run in runs for word in ("--model", str(run.folder))]
    common = [fold for fold in runs[0].records if all(fold in run.records for run in runs)]
    if any(finished_folds(run.folder) != tuple(common) for run in runs):
        words += [word for fold in common for word in ("--fold", fold)]
    return words


def _candidate(search: BestSearch, standing: Standing) -> CandidateRecord:
    return CandidateRecord(
        runs=_names(search.runs_of(standing.name)),
        dice=none_if_nan(standing.mean.mean),
        dice_low=none_if_nan(standing.mean.low),
        dice_high=none_if_nan(standing.mean.high),
        difference=none_if_nan(standing.difference.mean),
        difference_low=none_if_nan(standing.difference.low),
        difference_high=none_if_nan(standing.difference.high),
        standard_error=none_if_nan(standing.standard_error),
        operations=none_if_nan(standing.cost),
    )


def _names(runs: Sequence[CandidateRun]) -> tuple[str, ...]:
    return tuple(run.name for run in runs)


def _with_interval(interval: Interval) -> str:
    return f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def _share(one: Standing, other: Standing) -> str:
    return f"{100 * one.cost / other.cost:.0f} %"
