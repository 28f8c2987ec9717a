"""The recycling paper's findings, held against the measured rows: holds, holds in part, does not hold, or unknown."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from study_cells import percent
from study_claims import FAILS, HOLDS, IN_PART, UNKNOWN, Finding, difference_in_words, in_points, so_far
from study_measure import STEPS
from study_pairs import CONTROLS, KINDS, MIXED, SAME_SEED
from study_runs import FAMILY
from study_state import SeedsDifference, State, Trained, difference, level

from autodiffseg.evaluation.statistics import Interval, Values, bootstrap_mean, mean_of

MOST_OF_TABLE_4 = 0.0051
"""The paper's largest spread of Dice at the last step, that of muscle ultrasound."""

HAS_FALLEN = " So most of it is lost before the first answer, and little is left to fall."


def findings(state: State) -> list[Finding]:
    """Every claim about which the study has runs."""
    found = [
        _so_far(state, _best_of_family(state), *FAMILY),
        _so_far(state, _does_not_fall(state), "recycling"),
        _so_far(state, _diffusion_falls(state), "diffusion"),
        _so_far(state, _on_par(state), "recycling", "supervised"),
        _so_far(state, _pair_beats_both(state), "recycling", "supervised"),
        _so_far(state, _nearly_deterministic(state), "recycling"),
    ]
    return [*found, *_ablations(state)]


def _so_far(state: State, finding: Finding, *trainers: str) -> Finding:
    """The finding, its verdict marked as one for the time being while trainings that it is about are missing."""
    runs = [run for trainer in trainers for run in state.study.main_runs(trainer)]
    return so_far(finding, lacking=any(state.study.name(run) in state.missing for run in runs))


def _best_of_family(state: State) -> Finding:
    claim = "Recycling from x_T is the best of the diffusion family"
    paper = "Best in Dice and HD95 on all sets shown, with DDPM and DDIM (Table 1)."
    differences: dict[str, SeedsDifference | None] = {}
    for name in FAMILY[1:]:
        ours, theirs = (state.answers(state.study.main_runs(trainer), "Dice") for trainer in ("recycling", name))
        differences[name] = difference(ours, theirs)
    known = {name: found for name, found in differences.items() if found is not None}
    here = " ".join(f"Less `{name}`: {points(found)}." for name, found in known.items()) + _places(state)
    if any(found.below for found in known.values()):
        return Finding(claim, paper, FAILS, here)
    if len(known) < len(differences):
        return Finding(claim, paper, UNKNOWN, here)
    verdict = HOLDS if all(found.above for found in known.values()) else IN_PART
    return Finding(claim, paper, verdict, here)


def _places(state: State) -> str:
    """Recycling's place in the family by every mean of the main table, once all of it is there."""
    told = []
    for sampler in ("ddpm", "ddim"):
        for metric, sign in (("Dice", -1), ("HD95", 1)):
            answers = {name: state.answers(state.study.main_runs(name), metric, sampler) for name in FAMILY}
            means = {name: sign * float(found.values[0].mean()) for name, found in answers.items() if found}
            if len(means) < len(FAMILY):
                return ""
            place = sorted(means, key=lambda name: means[name]).index("recycling") + 1
            told.append(f"{place} in {metric} with {sampler.upper()}")
    return f" Its place among the five (training seed 0): {', '.join(told)}."


def _does_not_fall(state: State) -> Finding:
    claim = "Recycling's Dice does not fall over the sampling steps"
    paper = "Recycling keeps or improves its prediction from step to step (Figure 3)."
    risen = state.rise(state.study.main_runs("recycling"), "Dice")
    if risen is None:
        return Finding(claim, paper, UNKNOWN, "")
    interval = level(risen)
    return Finding(claim, paper, FAILS if interval.high < 0 else HOLDS, _rise(interval, risen))


def _diffusion_falls(state: State) -> Finding:
    claim = "Standard diffusion's Dice falls over the sampling steps"
    paper = "The other diffusion models decline or waver (Figure 3)."
    runs = state.study.main_runs("diffusion")
    risen = state.rise(runs, "Dice")
    if risen is None:
        return Finding(claim, paper, UNKNOWN, "")
    interval, here = level(risen), _rise(level(risen), risen)
    by_ddim = state.rise(runs, "Dice", "ddim")
    falls_by_ddim = by_ddim is not None and level(by_ddim).high < 0
    if by_ddim is not None:
        here += f" Of DDIM: {in_points(level(by_ddim))}."
    alone = state.after_step(state.study.main_runs("supervised"), "Dice", 0)
    first = difference(state.after_step(runs, "Dice", 0), alone)
    if first is not None:
        here += f" Its first step less supervised training, both without mirroring: {points(first)}."
        if first.below and interval.high >= 0:
            here += HAS_FALLEN
    return Finding(claim, paper, HOLDS if interval.high < 0 else IN_PART if falls_by_ddim else FAILS, here)


def _on_par(state: State) -> Finding:
    claim = "Recycling is on par with supervised training"
    paper = "-0.14 to +0.32 Dice points (Table 2)."
    found = _against_supervised(state, "main")
    if found is None:
        return Finding(claim, paper, UNKNOWN, "")
    here = f"Recycling less supervised at equal updates: {points(found)}."
    longer = _against_supervised(state, "equal wall time")
    if longer is not None:
        here += f" Against supervised training that took as long: {points(longer)}."
    return Finding(claim, paper, HOLDS if found.on_par else FAILS if found.below else IN_PART, here)


def _pair_beats_both(state: State) -> Finding:
    claim = "Supervised and recycling averaged beat both, and what two models alike reach"
    paper = "+0.24 to +0.73 Dice points over supervised, significant on all four sets (Table 2); no controls."
    together = state.pair_answers(SAME_SEED, "Dice")
    alone = {name: state.answers(state.study.main_runs(name), "Dice") for name in ("supervised", "recycling")}
    beaten = {name: difference(together, one) for name, one in alone.items()}
    known = {name: found for name, found in beaten.items() if found is not None}
    if len(known) < len(beaten):
        return Finding(claim, paper, UNKNOWN, "")
    here = " ".join(f"Of the same seed, less {name} alone: {points(found)}." for name, found in known.items())
    against = {}
    for control in CONTROLS:
        found = mean_difference(state.pair_answers(MIXED, "Dice"), state.pair_answers(control, "Dice"))
        told = in_points(found) if found is not None else UNKNOWN
        here += f" Of other seeds, less two {control.first}: {told}."
        against[control] = found
    here += _in_common(state)
    ends = [interval for interval in against.values() if interval is not None]
    if not all(found.above for found in known.values()):
        return Finding(claim, paper, FAILS, here)
    if len(ends) < len(against):
        return Finding(claim, paper, UNKNOWN, here)
    return Finding(claim, paper, HOLDS if all(interval.low > 0 for interval in ends) else IN_PART, here)


def _in_common(state: State) -> str:
    """Why averaging helps as little as it does; "" before it is measured."""
    shares = {kind.says: state.pair_agreement(kind) for kind in KINDS}
    told = [f"{says} {percent(found.errors_in_common)}" for says, found in shares.items() if found is not None]
    return f" Of the voxels that either of two gets wrong both get wrong: {'; '.join(told)}." if told else ""


def _nearly_deterministic(state: State) -> Finding:
    claim = "Recycling's answers hardly depend on the sampling noise, and less from step to step"
    paper = "Spread of Dice over five seeds at the last step 0.0001 to 0.0051, and two to five times that at the first"
    paper += " (Table 4)."
    apart: dict[str, Values] = {}
    for name in FAMILY:
        found = [state.every_step(run) for run in state.study.main_runs(name)]
        samples = [one.foreground("Dice") for one in found if one is not None and one.values["Dice"].shape[1] > 1]
        if samples:
            apart[name] = np.mean([np.ptp(values, axis=1) for values in samples], axis=0)  # (cases, steps)
    if "recycling" not in apart:
        return Finding(claim, paper, UNKNOWN, "")
    ends = {name: (mean_of(values[:, 0]), mean_of(values[:, -1])) for name, values in apart.items()}
    here = "; ".join(
        f"`{name}` {first:.4f} at the first step, {last:.4f} at the last" for name, (first, last) in ends.items()
    )
    ours = apart["recycling"]
    little, less = ends["recycling"][1] <= MOST_OF_TABLE_4, bootstrap_mean(ours[:, -1] - ours[:, 0]).high < 0
    return Finding(claim, paper, HOLDS if little and less else IN_PART if little or less else FAILS, f"Spread: {here}.")


def _ablations(state: State) -> Iterator[Finding]:
    """The first paper's claims of which this study has a run of its own (directions only; its numbers are not open)."""
    claims = {
        "2000-noise": "Predicting the mask is better than predicting the noise",
        "2000-mse": "A segmentation loss is better than the squared error",
        "2000-steps-5": "Training on the five steps of prediction is better than on all",
    }
    runs = {run.tag: run for run in state.study.runs if run.purpose == "ablation" and run.plan == "cpu"}
    if not runs:
        return
    reference = state.answers((runs["2000"],), "Dice")
    for tag, claim in claims.items():
        found = difference(state.answers((runs[tag],), "Dice"), reference)
        paper = "Stated by the first paper (arXiv 2303.06040)."
        if found is None:
            yield Finding(claim, paper, UNKNOWN, "")
            continue
        better = found.above if tag == "2000-steps-5" else found.below
        worse = found.below if tag == "2000-steps-5" else found.above
        verdict = HOLDS if better else FAILS if worse else "undecided"
        yield Finding(claim, paper, verdict, f"{runs[tag].says.capitalize()}: {points(found)}.")


def _against_supervised(state: State, purpose: str) -> SeedsDifference | None:
    supervised = tuple(run for run in state.study.runs if run.trainer == "supervised" and run.purpose == purpose)
    ours = state.answers(state.study.main_runs("recycling"), "Dice")
    return difference(ours, state.answers(supervised, "Dice"))


def mean_difference(method: Trained | None, other: Trained | None) -> Interval | None:
    """The difference of two methods whose trainings have nothing in common, each averaged over its own.

    The two supervised of one pair are in another pair too, so trainings cannot be drawn: the interval is over cases.
    """
    if method is None or other is None:
        return None
    return bootstrap_mean(method.values.mean(axis=0) - other.values.mean(axis=0))


def points(found: SeedsDifference) -> str:
    """A difference in Dice points with its interval and test, in words."""
    return difference_in_words(found, len(found.seeds), "training seed")


def _rise(interval: Interval, risen: Trained) -> str:
    seeds = f"{len(risen.seeds)} training seeds" if len(risen.seeds) > 1 else "one training seed"
    return f"From step 1 to step {STEPS} of DDPM: {in_points(interval)} ({seeds})."
