"""Which cases a page shows in pictures: by their scores, never by hand."""

from __future__ import annotations

import warnings

import numpy as np

from autodiffseg.evaluation.case_columns import badness, best_rival, case_columns
from autodiffseg.evaluation.comparison import Comparison
from autodiffseg.evaluation.metrics import Metric

WORST = 2


def chosen_cases(comparison: Comparison, metric: Metric) -> dict[str, str]:
    """Case -> why it is shown: the worst, the median, and where the best entrant gains and loses most.

    Worst and median are by the mean over entrants of a case's foreground mean, gain and loss by the difference of the
    best other entrant to the baseline. A case that is chosen twice is shown once.
    """
    columns = {entrant.name: case_columns(comparison, entrant, metric)[:, -1] for entrant in comparison.entrants}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a case that has no value stays NaN
        means = np.nanmean(np.stack(list(columns.values())), axis=0)
    known = [place for place, mean in enumerate(means) if not np.isnan(mean)]
    order = sorted(known, key=lambda place: -badness(float(means[place]), metric))
    if not order:
        return {}
    reasons: dict[int, list[str]] = {}
    for rank, place in enumerate(order[:WORST]):
        title = f"worst {metric.name}" if rank == 0 else f"{rank + 1}nd worst {metric.name}"
        reasons.setdefault(place, []).append(f"{title}, mean over rows")
    reasons.setdefault(order[len(order) // 2], []).append(f"median {metric.name}, mean over rows")
    rival = best_rival(comparison, metric)
    if rival is not None:
        worse_by = np.array(
            [
                badness(float(mine), metric) - badness(float(base), metric)
                for mine, base in zip(columns[rival.name], columns[comparison.baseline], strict=True)
            ]
        )
        for place, sign, word in (
            (int(np.argmin(np.nan_to_num(worse_by))), -1, "gains"),
            (int(np.argmax(np.nan_to_num(worse_by))), 1, "loses"),
        ):
            if sign * worse_by[place] > 0:
                reasons.setdefault(place, []).append(f"{rival.name} {word} most against {comparison.baseline}")
    return {comparison.cases[place]: "; ".join(told) for place, told in reasons.items()}
