"""The TEDM paper's findings and the questions it leaves, held against the measured rows of the few-label study."""

from __future__ import annotations

from collections.abc import Iterable

from few_rows import (
    ABLATED,
    AUGMENTED,
    BASELINE,
    BASELINE_LONGER,
    DATASET,
    FINETUNED,
    LEDM,
    LEDM_DENSE,
    LEDME,
    ONE_STEP,
    ONE_STEP_EIGHT,
    PROBE,
    SCRATCH,
    SHIFTED_NAME,
    SMALL_STEPS,
    TEDM,
    TEDM_AUGMENTED,
    TEDM_LONGER,
    Method,
)
from few_state import State
from study_claims import FAILS, HOLDS, IN_PART, OPEN, UNKNOWN, Finding, difference_in_words, so_far

from autodiffseg.evaluation.difference import ON_PAR_DICE
from autodiffseg.evaluation.label_curves import Gap

FIVE_POINTS = 0.05


def findings(state: State) -> list[Finding]:
    """All of them."""
    found = [
        _so_far(state, _five_points(state), TEDM, BASELINE),
        _so_far(state, _against_augmented(state), TEDM, TEDM_AUGMENTED, AUGMENTED),
        _so_far(state, _all_labels(state), TEDM, TEDM_AUGMENTED, BASELINE, AUGMENTED),
        _so_far(state, _shared_head(state), TEDM, LEDM, LEDME),
        _so_far(state, _concatenated(state), TEDM, LEDME),
        _so_far(state, _linear_probe(state), TEDM, PROBE, BASELINE),
        _so_far(state, _noisy_steps(state), TEDM, SMALL_STEPS),
        _so_far(state, _diversity(state), TEDM, ONE_STEP_EIGHT, ONE_STEP),
        _so_far(state, _finetuning(state), FINETUNED, SCRATCH, AUGMENTED),
        _so_far(state, _augmentation(state), AUGMENTED, BASELINE),
    ]
    return found


def _so_far(state: State, finding: Finding, *methods: Method) -> Finding:
    """The finding, marked as one for the time being while rows that it is about are missing."""
    return so_far(finding, lacking=state.lacks(*methods))


def _five_points(state: State) -> Finding:
    claim = "Under shift, with one label, TEDM is at least 5 Dice points above supervised training without augmentation"
    paper = "80.3 against 68.5 (NIH), 90.5 against 77.1 (Montgomery)."
    found = state.gap(TEDM, BASELINE, labels=1, domain=SHIFTED_NAME)
    if found is None:
        return Finding(claim, paper, UNKNOWN, "")
    return Finding(claim, paper, _by_five_points(found), f"{points(found)}.{_others(state, TEDM, BASELINE)}")


def _against_augmented(state: State) -> Finding:
    claim = "Under shift, with one label, TEDM is above supervised training with the whole augmentation"
    gaps = {
        "TEDM without augmentation": state.gap(TEDM, AUGMENTED, labels=1, domain=SHIFTED_NAME),
        "TEDM with it": state.gap(TEDM_AUGMENTED, AUGMENTED, labels=1, domain=SHIFTED_NAME),
    }
    here = _told(gaps) + _others(state, TEDM_AUGMENTED, AUGMENTED)
    return Finding(claim, "", _all_above(gaps.values()), here)


def _all_labels(state: State) -> Finding:
    claim = "In-domain, with all labels, TEDM is no worse than supervised training"
    paper = "97.3 against 97.3 (JSRT, 197 labels)."
    gaps = {
        "Neither augmented": state.gap(TEDM, BASELINE, labels=None, domain=DATASET),
        "Both augmented": state.gap(TEDM_AUGMENTED, AUGMENTED, labels=None, domain=DATASET),
    }
    longer = {
        "Neither augmented, both three times as long": state.gap(
            TEDM_LONGER, BASELINE_LONGER, labels=None, domain=DATASET
        )
    }
    here = _told(gaps | longer)
    known = [gap for gap in gaps.values() if gap is not None]
    if len(known) < len(gaps):
        return Finding(claim, paper, UNKNOWN, here)
    fine = [gap.interval.low >= -ON_PAR_DICE for gap in known]
    worse = [gap.below and not ok for gap, ok in zip(known, fine, strict=True)]
    verdict = HOLDS if all(fine) else FAILS if all(worse) else IN_PART if any(fine) else OPEN
    return Finding(claim, paper, verdict, here)


def _shared_head(state: State) -> Finding:
    claim = "Under shift, with few labels, one head for all steps (TEDM) is above concatenated steps (LEDMe, LEDM)"
    paper = "80.3 against 70.3 and 63.3 with one label (NIH), 86.4 against 78.3 and 78.0 with three."
    gaps = {
        f"Less {other.trainer}, {_labels(labels)}": state.gap(TEDM, other, labels=labels, domain=SHIFTED_NAME)
        for other in (LEDME, LEDM)
        for labels in (1, 3)
    }
    dense = {
        f"LEDM on all voxels less LEDM, {_labels(labels)}": state.gap(
            LEDM_DENSE, LEDM, labels=labels, domain=SHIFTED_NAME
        )
        for labels in ABLATED
    }
    return Finding(claim, paper, _all_above(gaps.values()), _told(gaps | dense))


def _concatenated(state: State) -> Finding:
    claim = "In-domain, with few labels, LEDMe is a little above TEDM"
    paper = "By 0.3 to 0.9 points (JSRT)."
    gaps = {
        f"LEDMe less TEDM, {_labels(labels)}": state.gap(LEDME, TEDM, labels=labels, domain=DATASET)
        for labels in (1, 3)
    }
    return Finding(claim, paper, _all_above(gaps.values()), _told(gaps))


def _linear_probe(state: State) -> Finding:
    claim = "Under shift, with one label, a linear probe of step 1 has most of TEDM's gain"
    paper = "Medians 80.8 against 81.8 (NIH), 90.5 against 91.4 (Montgomery), supervised 70.6 and 79.9."
    whole = state.gap(TEDM, BASELINE, labels=1, domain=SHIFTED_NAME)
    part = state.gap(PROBE, BASELINE, labels=1, domain=SHIFTED_NAME)
    here = _told({"TEDM less the baseline": whole, "The probe less the baseline": part})
    if whole is None or part is None:
        return Finding(claim, paper, UNKNOWN, here)
    if not whole.above:
        return Finding(claim, paper, OPEN, f"{here} There is no gain of TEDM to have a part of.")
    share = part.interval.mean / whole.interval.mean
    return Finding(claim, paper, HOLDS if share > 0.5 else FAILS, f"{here} That is {100 * share:.0f} % of it.")


def _noisy_steps(state: State) -> Finding:
    claim = "The steps of much noise help TEDM, though they are bad by themselves"
    gaps = {
        f"TEDM less its steps 1, 10, 25 and 50, {domain}, {_labels(labels)}": state.gap(
            TEDM, SMALL_STEPS, labels=labels, domain=domain
        )
        for domain in (SHIFTED_NAME, DATASET)
        for labels in ABLATED
    }
    paper = "Kept as a regulariser; there is no such comparison."
    return Finding(claim, paper, _all_above(gaps.values()), _told(gaps))


def _diversity(state: State) -> Finding:
    claim = "It is the diversity of steps that helps TEDM, not the averaging of noise"
    averaging = {
        f"Eight noises of step 50 less one, {_labels(n)}": state.gap(
            ONE_STEP_EIGHT, ONE_STEP, labels=n, domain=SHIFTED_NAME
        )
        for n in ABLATED
    }
    diversity = {
        f"TEDM less eight noises of step 50, {_labels(n)}": state.gap(
            TEDM, ONE_STEP_EIGHT, labels=n, domain=SHIFTED_NAME
        )
        for n in ABLATED
    }
    here = _told(diversity | averaging)
    if None in (*averaging.values(), *diversity.values()):
        return Finding(claim, "", UNKNOWN, here)
    steps = all(gap is not None and gap.above for gap in diversity.values())
    noise = any(gap is not None and gap.above for gap in averaging.values())
    none = all(gap is not None and (gap.below or gap.on_par) for gap in diversity.values())
    verdict = IN_PART if steps and noise else HOLDS if steps else FAILS if none else OPEN
    return Finding(claim, "", verdict, here)


def _finetuning(state: State) -> Finding:
    claim = "Training the whole pretrained network on is better than the same network from scratch, under shift"
    gaps: dict[str, Gap | None] = {}
    for labels in ABLATED:
        gaps[f"Less from scratch, {_labels(labels)}"] = state.gap(
            FINETUNED, SCRATCH, labels=labels, domain=SHIFTED_NAME
        )
    verdict = _all_above(gaps.values())
    more = {
        f"Less supervised with augmentation, {_labels(labels)}": state.gap(
            FINETUNED, AUGMENTED, labels=labels, domain=SHIFTED_NAME
        )
        for labels in (1, 3)
    }
    return Finding(claim, "", verdict, _told(gaps | more))


def _augmentation(state: State) -> Finding:
    claim = "Under shift, augmentation alone lifts supervised training by more than 5 Dice points with one label"
    found = state.gap(AUGMENTED, BASELINE, labels=1, domain=SHIFTED_NAME)
    if found is None:
        return Finding(claim, "", UNKNOWN, "")
    return Finding(claim, "", _by_five_points(found), f"{points(found)}.")


def points(found: Gap) -> str:
    """A difference in Dice points with its interval and test, in words."""
    return difference_in_words(found, found.trainings, "label seed")


def _told(gaps: dict[str, Gap | None]) -> str:
    """The differences that are there."""
    return " ".join(f"{name}: {points(gap)}." for name, gap in gaps.items() if gap is not None)


def _others(state: State, method: Method, other: Method) -> str:
    """The same difference with more labels."""
    gaps = {_labels(labels): state.gap(method, other, labels=labels, domain=SHIFTED_NAME) for labels in (3, 6, 12)}
    told = "; ".join(f"{name} {points(gap)}" for name, gap in gaps.items() if gap is not None)
    return f" With more: {told}." if told else ""


def _by_five_points(gap: Gap) -> str:
    """Whether a gap is as wide as was expected, or there at least."""
    if gap.above:
        return HOLDS if gap.interval.mean >= FIVE_POINTS else IN_PART
    return FAILS if gap.below else OPEN


def _all_above(gaps: Iterable[Gap | None]) -> str:
    """What the intervals of several differences say together."""
    known = list(gaps)
    sure = [gap for gap in known if gap is not None]
    if len(sure) < len(known):
        return UNKNOWN
    if all(gap.above for gap in sure):
        return HOLDS
    if any(gap.above for gap in sure):
        return IN_PART
    return FAILS if any(gap.below for gap in sure) else OPEN


def _labels(labels: int) -> str:
    return f"{labels} label{'s' * (labels > 1)}"
