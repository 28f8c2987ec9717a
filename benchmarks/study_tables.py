"""The tables of the recycling study's report; a row that has not been measured says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from study_cells import DASH, against_cells, interval_text, markdown, number, over_cases, p_text, percent, seeds_of
from study_findings import mean_difference
from study_measure import STEPS
from study_pairs import KINDS, pairs
from study_runs import FAMILY, PAPERS_NAMES, TRAINERS
from study_state import State, answer, difference

from autodiffseg.evaluation.statistics import holm, mean_of, std_of
from autodiffseg.evaluation.step_scores import METRICS, curve

COST = Path(__file__).parent / "results" / "diffusion_cost.json"


def equal_updates(state: State) -> str:
    """The main table: every trainer after the same number of updates (the paper's Tables 1 and 2)."""
    header = ["trainer", "the paper's name", "seeds", "Dice DDPM", "HD95 DDPM [mm]", "Dice DDIM", "HD95 DDIM [mm]"]
    rows = []
    for name in TRAINERS:
        runs, one_pass = state.study.main_runs(name), name == "supervised"
        cells = [f"`{name}`", PAPERS_NAMES[name], seeds_of(state.answers(runs, "Dice"), runs)]
        for sampler in ("ddpm", "ddim"):
            shown = not (one_pass and sampler == "ddim")
            cells += [over_cases(state.answers(runs, metric, sampler), metric) if shown else DASH for metric in METRICS]
        rows.append([*cells, "1" if one_pass else str(STEPS)])
    return markdown([*header, "passes"], rows)


def against_supervised(state: State) -> str:
    """The paired differences of the main table to supervised training, with their tests."""
    header = ["trainer", "sampler", "seeds compared", "ΔDice [95 %], points", "p (Holm)", "on par"]
    header += ["ΔHD95 [95 %], mm", "p (Holm)"]
    baseline = {metric: state.answers(state.study.main_runs("supervised"), metric) for metric in METRICS}
    chosen = [(name, state.study.main_runs(name), sampler) for name in FAMILY for sampler in ("ddpm", "ddim")]
    found = {
        metric: [difference(state.answers(runs, metric, sampler), baseline[metric]) for _, runs, sampler in chosen]
        for metric in METRICS
    }
    p = {metric: holm([one.test.p if one else None for one in rows]) for metric, rows in found.items()}
    rows = []
    for place, (name, _, sampler) in enumerate(chosen):
        dice, distance = found["Dice"][place], found["HD95"][place]
        seeds = ", ".join(map(str, dice.seeds)) if dice else "none"
        cells = [f"`{name}`", sampler.upper(), seeds, *against_cells(dice, p["Dice"][place], baseline=False)]
        far = interval_text(distance.interval, scale=1) if distance else DASH
        rows.append([*cells, far, p_text(p["HD95"][place])])
    return markdown(header, rows)


def per_class(state: State) -> str:
    """Dice and HD95 of every class, of the same predictions as the main table (DDPM)."""
    classes = classes_of(state)
    header = ["trainer", *(f"{metric} {name}" for metric in METRICS for name in classes)]
    rows = []
    for name in TRAINERS:
        found = [one for run in state.study.main_runs(name) if (one := state.scores(run, answer(run))) is not None]
        values = [
            mean_of(np.nanmean([one.values[metric][:, 0, -1, index] for one in found], axis=0)) if found else np.nan
            for metric in METRICS
            for index in range(len(classes))
        ]
        digits = [4] * len(classes) + [2] * len(classes)
        rows.append([f"`{name}`", *(number(value, places) for value, places in zip(values, digits, strict=True))])
    return markdown(header, rows)


def training_seeds(state: State) -> str:
    """The mean of every training by itself: how much another seed changes."""
    seeds = sorted({run.seed for run in state.study.runs})
    rows = []
    for name in TRAINERS:
        found = state.answers(state.study.main_runs(name), "Dice")
        means = dict(zip(found.seeds, found.values.mean(axis=1), strict=True)) if found else {}
        listed = {run.seed for run in state.study.main_runs(name)}
        cells = [number(float(means.get(seed, np.nan)), 4) if seed in listed else "" for seed in seeds]
        rows.append([f"`{name}`", *cells, number(std_of(np.array(list(means.values()))), 4)])
    return markdown(["trainer", *(f"seed {seed}" for seed in seeds), "standard deviation"], rows)


def equal_wall_time(state: State) -> str:
    """Trainings that take as long as recycling's, beside it."""
    seconds = json.loads(COST.read_text(encoding="utf-8"))["training"]["seconds"] if COST.is_file() else {}
    recycling = state.answers(state.study.main_runs("recycling"), "Dice")
    header = ["trainer", "updates", "minutes", "seeds", "Dice DDPM", "HD95 DDPM [mm]"]
    header += ["recycling less this [95 %], points", "p (Holm)", "on par"]
    groups = [state.study.main_runs("recycling")]
    groups += [runs for name in ("supervised", "diffusion") if (runs := state.runs("equal wall time", name))]
    against = [difference(recycling, state.answers(runs, "Dice")) for runs in groups[1:]]
    adjusted = [None, *holm([one.test.p if one else None for one in against])]
    rows = []
    for runs, found, p in zip(groups, [None, *against], adjusted, strict=True):
        run = runs[0]
        minutes = run.updates * seconds[run.trainer] / 60 if run.trainer in seconds else np.nan
        cells = [f"`{run.trainer}`", str(run.updates), number(minutes, 1), seeds_of(state.answers(runs, "Dice"), runs)]
        cells += [over_cases(state.answers(runs, metric), metric) for metric in METRICS]
        rows.append([*cells, *against_cells(found, p, baseline=runs is groups[0])])
    return markdown(header, rows)


def two_averaged(state: State) -> str:
    """Pairs of models, and the same trainers alone."""
    supervised = state.answers(state.study.main_runs("supervised"), "Dice")
    header = ["models", "trainings", "passes", "Dice", "HD95 [mm]", "ΔDice to supervised alone [95 %], points"]
    header += ["Dice between the two", "errors in common"]
    rows = []
    for trainer in ("supervised", "recycling"):
        runs = state.study.main_runs(trainer)
        alone = state.answers(runs, "Dice")
        less = difference(alone, supervised) if trainer != "supervised" else None
        cells = [f"`{trainer}` alone", seeds_of(alone, runs), "1" if trainer == "supervised" else str(STEPS)]
        cells += [over_cases(state.answers(runs, metric), metric) for metric in METRICS]
        rows.append([*cells, interval_text(less.interval) if less else DASH, "", ""])
    for kind in KINDS:
        listed = sum(pair.kind == kind for pair in pairs(state.study))
        if not listed:
            continue
        found = state.pair_answers(kind, "Dice")
        passes = sum(1 if name == "supervised" else STEPS for name in (kind.first, kind.second))
        cells = [kind.says, f"{len(found.seeds) if found else 0} of {listed} pairs", str(passes)]
        cells += [over_cases(state.pair_answers(kind, metric), metric) for metric in METRICS]
        paired = difference(found, supervised) if kind.same_seed else None
        interval = paired.interval if paired else None if kind.same_seed else mean_difference(found, supervised)
        alike = state.pair_agreement(kind)
        cells += [interval_text(interval) if interval else DASH]
        rows.append([*cells, *([f"{alike.dice:.4f}", percent(alike.errors_in_common)] if alike else [DASH, DASH])])
    return markdown(header, rows)


def ablations(state: State) -> str:
    """One thing changed at a time, against the same short training."""
    chosen = [run for run in state.study.runs if run.purpose == "ablation"]
    reference = state.answers((chosen[0],), "Dice")
    against = [difference(state.answers((run,), "Dice"), reference) for run in chosen[1:]]
    adjusted = [None, *holm([one.test.p if one else None for one in against])]
    header = ["changed", "settings", "Dice DDPM", "HD95 DDPM [mm]", "Dice DDIM"]
    header += ["ΔDice to the reference [95 %], points", "p (Holm)", "step 1 → 5"]
    rows = []
    for run, found, p in zip(chosen, [None, *against], adjusted, strict=True):
        settings = " ".join(run.settings) or (f"plan {run.plan}" if run.plan != "cpu" else DASH)
        cells = [run.says, f"`{settings}`" if settings != DASH else DASH]
        cells += [over_cases(state.answers((run,), metric), metric) for metric in METRICS]
        cells += [over_cases(state.answers((run,), "Dice", "ddim"), "Dice")]
        steps = state.every_step(run)
        way = curve(steps.foreground("Dice")).mean if steps is not None else (np.nan,)
        cells += against_cells(found, p, baseline=run is chosen[0])[:2]
        rows.append([*cells, f"{number(way[0], 4)} → {number(way[-1], 4)}" if steps is not None else DASH])
    return markdown(header, rows)


def classes_of(state: State) -> tuple[str, ...]:
    """The foreground classes of the dataset; none while nothing has been measured."""
    for rows in state.rows.values():
        return next(iter(rows.parts.values())).classes
    return ()
