"""The per-step curves of compared runs, where `analyse steps` has been run."""

from __future__ import annotations

from pathlib import Path

from autodiffseg.evaluation.comparison import Comparison
from autodiffseg.evaluation.step_curves import Curves, read_step_curves


def step_curves(comparison: Comparison) -> dict[str, Curves]:
    """Entrant -> scores after every sampling step of its first training, over the compared cases.

    Raises:
        UserError: when a file of an analysis is damaged.
    """
    found = {}
    for entrant in comparison.entrants:
        for run in entrant.facts.get("runs", ())[:1]:
            path = Path(run["folder"]) / "analysis" / "steps_cases.csv"
            curves = read_step_curves(path, comparison.cases) if path.is_file() else None
            if curves is not None:
                found[entrant.name] = curves
    return found
