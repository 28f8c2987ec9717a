"""The recycling study step by step: scores, spread over sampling seeds, and numbers of steps, as lines and tables."""

from __future__ import annotations

import numpy as np
from study_cells import markdown, number
from study_measure import NUMBERS_OF_STEPS, STEPS
from study_runs import FAMILY, TRAINERS
from study_scores import Part
from study_state import State

from autodiffseg.evaluation.statistics import mean_of
from autodiffseg.evaluation.step_scores import METRICS, curve, spread


def dice_ddpm(state: State) -> str:
    """Dice after every step of DDPM."""
    return _per_step(state, "Dice", "ddpm")


def dice_ddim(state: State) -> str:
    """Dice after every step of DDIM."""
    return _per_step(state, "Dice", "ddim")


def hd95_ddpm(state: State) -> str:
    """HD95 after every step of DDPM."""
    return _per_step(state, "HD95", "ddpm")


def step_means(state: State, trainer: str, metric: str, sampler: str) -> list[float]:
    """The mean after every step; of a model that answers in one pass, under the last."""
    found = [one for run in state.study.main_runs(trainer) if (one := state.every_step(run, sampler)) is not None]
    if not found:
        return [np.nan] * STEPS
    means = np.mean([curve(one.foreground(metric)).mean for one in found], axis=0)
    return [np.nan] * (STEPS - len(means)) + [float(value) for value in means]


def spread_over_seeds(state: State) -> str:
    """How far five sampling seeds lie apart at every step (the paper's Table 4)."""
    rows = [
        [f"`{name}`", f"Δ{metric}", *(number(value, 4) for value in spread_means(state, name, metric))]
        for metric in METRICS
        for name in FAMILY
    ]
    return markdown(["trainer", "spread", *(f"step {step}" for step in range(1, STEPS + 1))], rows)


def spread_means(state: State, trainer: str, metric: str) -> list[float]:
    """The spread at every step, averaged over cases and training seeds."""
    found = [one for run in state.study.main_runs(trainer) if (one := state.every_step(run)) is not None]
    several = [one for one in found if one.values[metric].shape[1] > 1]
    if not several:
        return [np.nan] * STEPS
    return [float(value) for value in np.mean([spread(one.foreground(metric)).mean for one in several], axis=0)]


def numbers_ddpm(state: State) -> str:
    """The number of steps of DDPM against Dice (the paper's Table 3)."""
    return _numbers(state, "ddpm")


def numbers_ddim(state: State) -> str:
    """The number of steps of DDIM against Dice."""
    return _numbers(state, "ddim")


def number_means(state: State, trainer: str, metric: str, sampler: str) -> list[float]:
    """The mean of the answer of samplers with few and many steps; of five, that of the first sampling seed."""
    run = state.study.main_runs(trainer)[0]
    found = [state.scores(run, Part(sampler, count, False)) for count in sorted({*NUMBERS_OF_STEPS, STEPS})]
    return [mean_of(one.foreground(metric)[:, 0, -1]) if one is not None else np.nan for one in found]


def _per_step(state: State, metric: str, sampler: str) -> str:
    shown = [name for name in TRAINERS if not (name == "supervised" and sampler == "ddim")]
    digits = 4 if metric == "Dice" else 2
    rows = [
        [f"`{name}`", *(number(value, digits) for value in step_means(state, name, metric, sampler))] for name in shown
    ]
    title = f"{metric}{' [mm]' if metric == 'HD95' else ''}, {sampler.upper()}"
    return markdown([title, *(f"step {step}" for step in range(1, STEPS + 1))], rows)


def _numbers(state: State, sampler: str) -> str:
    counts = sorted({*NUMBERS_OF_STEPS, STEPS})
    rows = [
        [f"`{name}`", *(number(value, 4) for value in number_means(state, name, "Dice", sampler))]
        for name in FAMILY
        if any(run.step_counts for run in state.study.main_runs(name))
    ]
    return markdown([f"Dice, {sampler.upper()}", *(f"{n} step{'s' * (n > 1)}" for n in counts)], rows)
