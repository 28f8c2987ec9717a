"""The tables of a comparison, and the notes that a reader needs: for the terminal, Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Iterator

from autodiffseg.evaluation.caveats import seen_caveat
from autodiffseg.evaluation.comparison import SIGNIFICANT, Comparison, Entrant
from autodiffseg.evaluation.difference import ON_PAR_DICE
from autodiffseg.evaluation.lesions import LEAST_IOU
from autodiffseg.evaluation.marked_table import Cell, MarkedTable
from autodiffseg.evaluation.metrics import Metric, find_metric
from autodiffseg.evaluation.statistics import FEWEST_PAIRS, Interval

NOTHING = "–"
PREDICTING = ("Parameters", "Passes", "Prediction")
"""What the columns of the cost of predicting begin with."""


def comparison_tables(comparison: Comparison) -> list[MarkedTable]:
    """Scores, intervals, differences to the baseline, classes and cost, each narrow enough for a terminal."""
    tables = [scores_table(comparison), intervals_table(comparison)]
    if len(comparison.entrants) > 1:
        tables += [baseline_table(comparison, metric) for metric in _metrics(comparison)]
    if len(comparison.classes) > 1:
        tables.append(classes_table(comparison))
    return [*tables, *cost_tables(comparison)]


def scores_table(comparison: Comparison) -> MarkedTable:
    """A row per entrant: mean ± standard deviation of each metric."""
    metrics = _metrics(comparison)
    rows = [
        (Cell(entrant.name), *(_mean(comparison, entrant, metric, None) for metric in metrics))
        for entrant in comparison.entrants
    ]
    return MarkedTable("Scores", ("Run", *(metric.title for metric in metrics)), tuple(rows))


def intervals_table(comparison: Comparison) -> MarkedTable:
    """A row per entrant: the interval of the mean of each metric."""
    metrics = _metrics(comparison)
    rows = []
    for entrant in comparison.entrants:
        scores = [(comparison.score(entrant.name, metric.name), metric.digits) for metric in metrics]
        ranges = [_range(score.interval, digits) for score, digits in scores]
        rows.append(tuple(map(Cell, (entrant.name, *ranges))))
    return MarkedTable("95 % intervals of the means", ("Run", *(metric.title for metric in metrics)), tuple(rows))


def baseline_table(comparison: Comparison, metric: Metric) -> MarkedTable:
    """A row per entrant but the baseline: the paired difference to it, and its test."""
    rows = []
    for entrant in comparison.entrants:
        if entrant.name == comparison.baseline:
            continue
        score = comparison.score(entrant.name, metric.name)
        difference = score.difference
        shown = NOTHING
        if not math.isnan(difference.mean):
            shown = f"{difference.mean:+.{metric.digits}f} {_range(difference, metric.digits, signed=True)}"
        effect = NOTHING if score.test.effect is None else f"{score.test.effect:+.2f}"
        row = (entrant.name, shown, show_p(score.p_adjusted), effect, verdict(comparison, entrant, metric))
        rows.append(tuple(map(Cell, row)))
    header = ("Run", "Δ [95 %]", "p (Holm)", "Effect", "Verdict")
    return MarkedTable(f"{metric.title} against {comparison.baseline}", header, tuple(rows))


def classes_table(comparison: Comparison) -> MarkedTable:
    """A row per class and entrant: mean ± standard deviation of each metric."""
    metrics = _metrics(comparison)
    rows = [
        (Cell(name), Cell(entrant.name), *(_mean(comparison, entrant, metric, key) for metric in metrics))
        for key, name in comparison.classes.items()
        for entrant in comparison.entrants
    ]
    return MarkedTable("Per class", ("Class", "Run", *(metric.title for metric in metrics)), tuple(rows), names=2)


def cost_tables(comparison: Comparison) -> list[MarkedTable]:
    """A row per entrant: what predicting cost, and what training did."""
    columns = list(dict.fromkeys(column for entrant in comparison.entrants for column in entrant.cost))
    predicting = [column for column in columns if column.startswith(PREDICTING)]
    parts = {"prediction": predicting, "training": [column for column in columns if column not in predicting]}
    return [
        MarkedTable(
            f"Cost of {what}",
            ("Run", *part),
            tuple(
                tuple(map(Cell, (entrant.name, *(entrant.cost.get(column, NOTHING) for column in part))))
                for entrant in comparison.entrants
            ),
        )
        for what, part in parts.items()
        if part
    ]


def verdict(comparison: Comparison, entrant: Entrant, metric: Metric) -> str:
    """What the difference to the baseline says: better, worse, on par, or nothing."""
    score = comparison.score(entrant.name, metric.name)
    said = []
    if comparison.differs(entrant.name, metric.name):
        if metric.better == "zero":
            said.append("differs")
        else:
            # By the ranks, as the test is: the mean may point elsewhere when few cases weigh much.
            up = (score.test.effect or 0) > 0
            said.append("better" if up == (metric.better == "more") else "worse")
    if score.on_par:
        said.append("on par")
    return ", ".join(said) or "open"


def notes(comparison: Comparison) -> Iterator[str]:
    """What a reader must know to read the tables, in sentences."""
    unit = "group of cases (mean of its cases)" if comparison.groups is not None else "case"
    count = f"{len(comparison.cases)} cases"
    count += f" in {comparison.units} groups" if comparison.groups is not None else ""
    yield (
        f"{count}, the same for every row. Unit: a {unit}; its value is the mean over foreground classes. Mean ± "
        f"standard deviation over units; best in bold, underlined what differs from {comparison.baseline} (p < "
        f"{SIGNIFICANT:g})."
    )
    yield (
        f"p: two-sided paired Wilcoxon test (Pratt) against {comparison.baseline}, adjusted by Holm within a metric: "
        "over the rows, in the table of classes over rows and classes. It speaks of these trained models on these "
        "cases, not of training them anew."
    )
    yield (
        "Δ: mean paired difference with its 95 % bootstrap interval over units. Effect: matched-pairs rank-biserial "
        f"correlation, -1 to 1. On par: the interval of the Dice difference lies within ±{ON_PAR_DICE:g}, of "
        f"{FEWEST_PAIRS} pairs or more; open: neither different nor shown to be on par."
    )
    if len(comparison.entrants) > 1:
        yield _halves_left_out(comparison)
    several = [entrant for entrant in comparison.entrants if len(entrant.trainings) > 1]
    if several:
        told = ", ".join(f"{entrant.name} {len(entrant.trainings)}" for entrant in several)
        yield (
            f"Trained several times: {told}. Their values are means over trainings; the intervals draw trainings and "
            "cases, those of differences only where both sides have three or more trainings. p-values compare the "
            "means over trainings."
        )
    seen = [entrant.name for entrant in comparison.entrants if entrant.facts.get("transductive")]
    if seen:
        yield seen_caveat(seen)
    yield (
        "Empty masks: both empty is left out; one empty is Dice, IoU, NSD and LesionF1 0, and HD95, HD and ASSD the "
        "image diagonal."
    )
    if any(metric.startswith("Lesion") for metric in comparison.metrics):
        yield f"Lesions: connected components; two match when their IoU is at least {LEAST_IOU:g}, each once."
    for entrant in comparison.entrants:
        yield from _empty_masks(comparison, entrant)
        yield from _never_predicted(comparison, entrant)
    reasons = {
        result.foreground.test.reason
        for results in comparison.results.values()
        for result in results.values()
        if result.foreground.test.reason not in ("", "baseline")
    }
    yield from (f"No p-value: {reason}." for reason in sorted(reasons))
    yield from (f"Left out: {note}" for note in comparison.left_out)


def show_p(p: float | None) -> str:
    """A p-value as tables show it."""
    if p is None:
        return NOTHING
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def _metrics(comparison: Comparison) -> list[Metric]:
    return [find_metric(name) for name in comparison.metrics]


def _mean(comparison: Comparison, entrant: Entrant, metric: Metric, key: str | None) -> Cell:
    score = comparison.score(entrant.name, metric.name, key)
    if math.isnan(score.mean):
        return Cell(NOTHING)
    spread = "" if math.isnan(score.std) else f" ± {score.std:.{metric.digits}f}"
    return Cell(
        f"{score.mean:.{metric.digits}f}{spread}",
        bold=entrant.name in comparison.best(metric.name, key),
        underlined=comparison.differs(entrant.name, metric.name, key),
    )


def _range(interval: Interval, digits: int, *, signed: bool = False) -> str:
    if math.isnan(interval.low):
        return NOTHING
    sign = "+" if signed else ""
    return f"[{interval.low:{sign}.{digits}f}, {interval.high:{sign}.{digits}f}]"


def _halves_left_out(comparison: Comparison) -> str:
    """What tests of classes do not see, and how many pairs that were."""
    metric = "Dice" if "Dice" in comparison.metrics else comparison.metrics[0]
    counts = []
    for entrant in comparison.entrants:
        if entrant.name == comparison.baseline:
            continue
        halves = 0
        for key in comparison.classes:
            score, baseline = (comparison.score(name, metric, key) for name in (entrant.name, comparison.baseline))
            halves += score.units + baseline.units - 2 * score.test.pairs
        counts += [f"{entrant.name} {halves}"] if halves else []
    told = f"; such pairs of {metric}, units × classes: {', '.join(counts)}" if counts else ""
    return (
        "Tests per class leave out pairs of which one side has no value: where the reference is empty, a row that "
        f"rightly predicts nothing is not compared with one that predicts something{told}."
    )


def _empty_masks(comparison: Comparison, entrant: Entrant) -> Iterator[str]:
    """How often the rule for empty masks spoke in a row; nothing when it did not."""
    rows = [
        scored[case].metrics[key]
        for scored in entrant.trainings
        for case in comparison.cases
        for key in comparison.classes
    ]
    present = [(row["n_pred"] > 0) + (row["n_ref"] > 0) for row in rows]
    both, one = present.count(0), present.count(1)
    if both + one:
        yield (
            f"{entrant.name}: of {len(rows)} masks (cases × classes) {both} are empty in both, {one} in one of the two."
        )


def _never_predicted(comparison: Comparison, entrant: Entrant) -> Iterator[str]:
    """The classes that an entrant predicts nowhere although the references have them."""
    for key, name in comparison.classes.items():
        rows = [scored[case].metrics[key] for scored in entrant.trainings for case in comparison.cases]
        if any(row["n_ref"] > 0 for row in rows) and not any(row["n_pred"] > 0 for row in rows):
            yield f"{entrant.name} predicts '{name}' in no case, although the references have it."
