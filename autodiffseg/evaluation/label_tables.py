"""Label curves as tables: a row per number of labels and method, its difference to the baseline, and all scores."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autodiffseg.evaluation.comparison_tables import NOTHING, show_p
from autodiffseg.evaluation.difference import ON_PAR_DICE
from autodiffseg.evaluation.label_curves import (
    Domain,
    Gap,
    Place,
    Standing,
    Standings,
    counts_of,
    methods_of,
    standings,
)
from autodiffseg.evaluation.marked_table import Cell as MarkedCell
from autodiffseg.evaluation.marked_table import MarkedTable
from autodiffseg.evaluation.metrics import find_metric
from autodiffseg.evaluation.report_table import Cell, ReportTable

METRICS = ("Dice", "HD95", "Precision", "Sensitivity")
"""In the file of all scores; the last two tell a method that marks too much from one that marks too little."""


class LabelCurves(NamedTuple):
    """The finished analysis of one metric."""

    metric: str
    baseline: str
    domains: tuple[Domain, ...]
    found: dict[str, Standings]
    """Domain -> rows."""
    passes: Mapping[Place, str]
    """Network calls of one prediction."""
    notes: tuple[str, ...]

    @property
    def counts(self) -> list[int]:
        """Numbers of labels, ascending."""
        return counts_of(self.domains)

    @property
    def methods(self) -> list[str]:
        """The baseline first."""
        return methods_of(self.domains, baseline=self.baseline)

    @property
    def places(self) -> list[Place]:
        """The rows in the order of tables: by labels, then by method."""
        known = {place for domain in self.domains for place in domain.trainings}
        return [place for count in self.counts for method in self.methods if (place := Place(count, method)) in known]


def label_curves(
    domains: Sequence[Domain],
    *,
    baseline: str,
    passes: Mapping[Place, str],
    metric: str = "Dice",
    notes: Sequence[str] = (),
) -> LabelCurves:
    """Analyse all domains.

    Raises:
        UserError: when rows have no case in common.
    """
    found, told = {}, list(notes)
    for domain in domains:
        found[domain.name], left_out = standings(domain, baseline=baseline, metric=metric)
        told += [f"{domain.name}: left out are {note}" for note in left_out]
    return LabelCurves(metric, baseline, tuple(domains), found, passes, tuple(told))


def labels_table(curves: LabelCurves, *, title: str) -> ReportTable:
    """A row per number of labels and method."""
    shown = find_metric(curves.metric)
    header = ["labels", "method", "trainings", "passes"]
    for domain in curves.domains:
        header += [f"{shown.title} {domain.name}", f"Δ to {curves.baseline} [95 %]", "p (Holm)"]
    rows: list[tuple[Cell, ...]] = []
    for place in curves.places:
        first = curves.found[curves.domains[0].name].get(place)
        cells: list[Cell] = [place.labels, place.method, first.trainings if first else 0]
        cells.append(curves.passes.get(place, NOTHING))
        for domain in curves.domains:
            cells += _cells(curves.found[domain.name].get(place), shown.digits)
        rows.append(tuple(cells))
    return ReportTable(title, tuple(header), (0,) * len(header), tuple(rows), (*reading(curves), *curves.notes))


def narrow_tables(curves: LabelCurves) -> list[MarkedTable]:
    """The same, narrow enough for a terminal: levels, the best in bold, and a table of differences per domain."""
    tables = [_levels(curves)]
    return tables + [_gaps(curves, domain.name) for domain in curves.domains if len(curves.methods) > 1]


def _levels(curves: LabelCurves) -> MarkedTable:
    """A row per number of labels and method: mean ± standard deviation in every domain."""
    shown = find_metric(curves.metric)
    best = {
        (name, count): max((one.mean for place, one in rows.items() if place.labels == count), default=math.nan)
        for name, rows in curves.found.items()
        for count in curves.counts
    }
    lines = []
    for place in curves.places:
        cells = [MarkedCell(str(place.labels)), MarkedCell(place.method), MarkedCell(curves.passes.get(place, NOTHING))]
        for name, rows in curves.found.items():
            text = str(_cells(rows.get(place), shown.digits)[0])
            bold = place in rows and rows[place].mean == best[name, place.labels] and len(curves.methods) > 1
            cells.append(MarkedCell(text, bold=bold))
        lines.append(tuple(cells))
    header = ("labels", "method", "passes", *(f"{shown.title} {domain.name}" for domain in curves.domains))
    return MarkedTable(f"{shown.title} by the number of labels", header, tuple(lines), names=2)


def _gaps(curves: LabelCurves, domain: str) -> MarkedTable:
    """A row per number of labels and method but the baseline: the difference, its test, and what it says."""
    digits = find_metric(curves.metric).digits
    lines = []
    for place in curves.places:
        one = curves.found[domain].get(place)
        if place.method == curves.baseline or one is None:
            continue
        gap = one.gap
        texts = [str(place.labels), place.method, gap_text(gap, digits), show_p(gap.p_adjusted if gap else None)]
        lines.append(tuple(map(MarkedCell, [*texts, verdict(gap)])))
    header = ("labels", "method", "Δ [95 %]", "p (Holm)", "verdict")
    return MarkedTable(f"{domain} against {curves.baseline}", header, tuple(lines), names=2)


def verdict(gap: Gap | None) -> str:
    """What the interval of a difference says."""
    if gap is None:
        return NOTHING
    said = ["better"] if gap.above else ["worse"] if gap.below else []
    return ", ".join([*said, *(["on par"] if gap.on_par else [])]) or "open"


def reading(curves: LabelCurves) -> tuple[str, ...]:
    """What a reader of the table must know, in sentences."""
    several = {name: max((one.trainings for one in rows.values()), default=0) for name, rows in curves.found.items()}
    units = ", ".join(f"{domain.name} {_count(domain)}" for domain in curves.domains)
    told = [
        f"Cases: {units}. A case counts by its mean over the classes that its own dataset declares; ± is the standard "
        "deviation over cases (groups, where a dataset has them) of their means over trainings.",
        f"Δ: mean paired difference to {curves.baseline} with as many labels. Trainings on the same labels are paired. "
        "p: two-sided Wilcoxon test (Pratt) of the cases' means over trainings, adjusted by Holm over the rows of a "
        "domain. Better or worse: the whole interval is on one side of 0. On par in Dice: it lies within "
        f"±{ON_PAR_DICE:g}.",
    ]
    if max(several.values(), default=0) < 3:
        told.append("Intervals are over cases: they do not tell how other labels or another training would do.")
    else:
        told.append(
            "Where a row has three or more trainings its interval is over these (other labels, other seeds) and cases; "
            "else over cases alone, and does not tell how other labels would do."
        )
    return tuple(told)


def label_panels(curves: LabelCurves) -> dict[str, dict[str, list[float]]]:
    """A panel per domain: method -> mean at every number of labels, NaN where there is none."""
    title = find_metric(curves.metric).title
    return {
        f"{title}, {name}": {
            method: [
                rows[place].mean if (place := Place(count, method)) in rows else math.nan for count in curves.counts
            ]
            for method in curves.methods
        }
        for name, rows in curves.found.items()
    }


def label_cases_csv(domains: Sequence[Domain]) -> str:
    """Everything in one file: a row per domain, number of labels, method, training, case and class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["domain", "labels", "method", "training", "case", "class", *METRICS])
    for domain in domains:
        for place, trainings in sorted(domain.trainings.items()):
            for training, cases in trainings.items():
                for case, scores in cases.items():
                    for key, name in domain.classes.items():
                        numbers = [scores.metrics[key].get(metric, math.nan) for metric in METRICS]
                        shown = ["" if math.isnan(number) else number for number in numbers]
                        writer.writerow([domain.name, place.labels, place.method, training, case, name, *shown])
    return text.getvalue()


def gap_text(gap: Gap | None, digits: int) -> str:
    """A difference with its interval."""
    if gap is None or math.isnan(gap.interval.mean):
        return NOTHING
    mean, low, high = gap.interval
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def _cells(one: Standing | None, digits: int) -> list[Cell]:
    if one is None:
        return [NOTHING] * 3
    level = NOTHING if math.isnan(one.mean) else f"{one.mean:.{digits}f}"
    spread = "" if math.isnan(one.std) else f" ± {one.std:.{digits}f}"
    return [level + spread, gap_text(one.gap, digits), show_p(one.gap.p_adjusted if one.gap else None)]


def _count(domain: Domain) -> int:
    return len({case for trainings in domain.trainings.values() for cases in trainings.values() for case in cases})
