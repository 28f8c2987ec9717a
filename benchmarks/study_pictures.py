"""The pictures of the recycling study's report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from study_measure import NUMBERS_OF_STEPS, STEPS
from study_pairs import SAME_SEED
from study_runs import FAMILY
from study_state import SeedsDifference, State, difference
from study_step_tables import number_means, spread_means, step_means

from autodiffseg.atomic import atomic_path
from autodiffseg.evaluation.curve_plot import save_curves

Lines = dict[str, list[float]]
"""Trainer -> its values."""


def save_pictures(state: State, folder: Path) -> dict[str, str]:
    """Draw what there are rows for, NAME.png in `folder`; names with what they show."""
    steps, counts = range(1, STEPS + 1), sorted({*NUMBERS_OF_STEPS, STEPS})
    found = {}
    drawn: list[tuple[str, str, dict[str, Lines], list[int], str]] = [
        (
            "steps",
            "Scores after every sampling step",
            {
                "Dice, DDPM": _lines(state, lambda name: step_means(state, name, "Dice", "ddpm")),
                "Dice, DDIM": _lines(state, lambda name: step_means(state, name, "Dice", "ddim")),
                "HD95 [mm], DDPM": _lines(state, lambda name: step_means(state, name, "HD95", "ddpm")),
            },
            list(steps),
            "sampling step",
        ),
        (
            "spread",
            "Largest less smallest score of five sampling seeds",
            {
                "ΔDice": _lines(state, lambda name: spread_means(state, name, "Dice")),
                "ΔHD95 [mm]": _lines(state, lambda name: spread_means(state, name, "HD95")),
            },
            list(steps),
            "sampling step",
        ),
        (
            "numbers_of_steps",
            "Dice of the answer by the number of sampling steps",
            {
                "Dice, DDPM": _lines(state, lambda name: number_means(state, name, "Dice", "ddpm")),
                "Dice, DDIM": _lines(state, lambda name: number_means(state, name, "Dice", "ddim")),
            },
            counts,
            "sampling steps",
        ),
    ]
    for name, title, panels, positions, xlabel in drawn:
        measured = [one for one in FAMILY if any(np.isfinite(lines[one]).sum() > 1 for lines in panels.values())]
        if not measured:
            continue
        kept = {ylabel: {one: lines[one] for one in measured} for ylabel, lines in panels.items()}
        save_curves(
            folder / f"{name}.png", positions, kept, title=title, xlabel=xlabel, logarithmic=name == "numbers_of_steps"
        )
        found[name] = title
    if save_differences(state, folder / "differences.png"):
        found["differences"] = "Dice less that of supervised training, with 95 % intervals"
    return found


def save_differences(state: State, path: Path) -> bool:
    """Draw every trainer's difference to supervised training with its interval; whether there was any."""
    baseline = state.answers(state.study.main_runs("supervised"), "Dice")
    chosen = {name: state.study.main_runs(name) for name in FAMILY}
    if runs := state.runs("equal wall time", "supervised"):
        chosen["supervised, equal wall time"] = runs
    found = {name: difference(state.answers(runs, "Dice"), baseline) for name, runs in chosen.items()}
    found["supervised + recycling"] = difference(state.pair_answers(SAME_SEED, "Dice"), baseline)
    known: dict[str, SeedsDifference] = {name: one for name, one in found.items() if one is not None}
    if not known:
        return False
    figure = Figure(figsize=(8, 1.2 + 0.42 * len(known)), layout="constrained")
    plot = figure.add_subplot()
    for place, one in enumerate(known.values()):
        mean, low, high = (100 * end for end in one.interval)
        plot.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="o", color="#0072b2", capsize=3)
    plot.axvline(0, color="black", linewidth=0.8)
    plot.axvspan(-0.5, 0.5, color="0.92", zorder=0)
    plot.set_yticks(range(len(known)), [f"{name} ({_seeds(one)})" for name, one in known.items()])
    plot.set_ylim(len(known) - 0.5, -0.5)
    plot.set_xlabel("Dice points more than supervised; grey: on par")
    plot.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)
    return True


def _lines(state: State, values: Callable[[str], list[float]]) -> Lines:
    return {name: values(name) for name in FAMILY}


def _seeds(found: SeedsDifference) -> str:
    return f"{len(found.seeds)} seeds" if len(found.seeds) > 1 else "1 seed"
