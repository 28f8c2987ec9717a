"""The TEDM paper's findings and the questions it leaves, held against the measured rows of the few-label study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from few_rows import (
    AUGMENTED,
    AUGMENTED_SHORTER,
    BASELINE,
    BASELINE_LONGER,
    BASELINE_SHORTER,
    DATASET,
    FAST,
    FINETUNED,
    LEDM,
    LEDM_DENSE,
    LEDME,
    LEDME_DENSE,
    LUNGS_AS_ONE,
    ONE_STEP_EIGHT,
    ONE_STEP_VOXELS,
    PROBE,
    SCRATCH,
    SHIFTED_NAME,
    SMALL_STEPS,
    TEDM,
    TEDM_AUGMENTED,
    TEDM_LONGER,
    Method,
    probe_of,
)
from few_state import State
from study_claims import FAILS, HOLDS, IN_PART, OPEN, UNKNOWN, Finding, difference_in_words, so_far

from autodiffseg.evaluation.difference import ON_PAR_DICE
from autodiffseg.evaluation.label_curves import Gap

FIVE_POINTS = 0.05
EACH, AS_ONE = "each class", "lungs as one"
"""Both ways of scoring, in words."""
Rule = Callable[[Sequence[Gap]], str]
"""The verdict that several differences give, in the order in which a claim lists them."""


@dataclass(frozen=True)
class Question:
    """How much one method is above others (their mean, where there are several), with as many labels."""

    method: Method
    others: tuple[Method, ...]
    labels: int | None
    """None: all."""
    domain: str

    def gaps(self, state: State) -> dict[str, Gap | None]:
        """Way of scoring -> the difference, None while a row is missing."""
        domains = {EACH: self.domain, AS_ONE: LUNGS_AS_ONE[self.domain]}
        return {
            scoring: state.gap(self.method, *self.others, labels=self.labels, domain=domain)
            for scoring, domain in domains.items()
        }

    def told(self, state: State) -> str:
        """Both differences on one line; "" while there is none."""
        gaps = {scoring: gap for scoring, gap in self.gaps(state).items() if gap is not None}
        others = " and ".join(f"`{other.name}`" for other in self.others)
        others = f"the mean of {others}" if len(self.others) > 1 else others
        number = "all labels" if self.labels is None else f"{self.labels} label{'s' * (self.labels > 1)}"
        noun = "training" if self.labels is None else "label seed"
        told = "; ".join(f"{scoring} {difference_in_words(gap, gap.trainings, noun)}" for scoring, gap in gaps.items())
        return f"`{self.method.name}` less {others}, {number}, {self.domain}: {told}." if told else ""


@dataclass(frozen=True)
class Claim:
    """What is claimed, and what it is judged by."""

    claim: str
    paper: str
    """What the paper's figures say; "" for a question of our own."""
    rule: Rule
    judged: tuple[Question, ...]
    told: tuple[Question, ...] = ()
    """Shown beside the others; no verdict hangs on them."""

    def held_against(self, state: State) -> Finding:
        """What the rows say."""
        questions = (*self.judged, *self.told)
        lines = [f"\n  - {line}" for question in questions if (line := question.told(state))]
        finding = Finding(self.claim, self.paper, self._verdict(state), "".join(lines))
        methods = {method for question in self.judged for method in (question.method, *question.others)}
        return so_far(finding, lacking=state.lacks(*methods))

    def _verdict(self, state: State) -> str:
        found = [question.gaps(state) for question in self.judged]
        verdicts = {}
        for scoring in (EACH, AS_ONE):
            gaps = [gap for one in found if (gap := one[scoring]) is not None]
            verdicts[scoring] = self.rule(gaps) if len(gaps) == len(found) else UNKNOWN
        if len(set(verdicts.values())) == 1:
            return verdicts[EACH]
        return ", ".join(f"{verdict} ({scoring})" for scoring, verdict in verdicts.items())


def findings(state: State) -> list[Finding]:
    """All of them."""
    return [claim.held_against(state) for claim in CLAIMS]


def all_above(gaps: Sequence[Gap]) -> str:
    """Every method is above its others."""
    if all(gap.above for gap in gaps):
        return HOLDS
    if any(gap.above for gap in gaps):
        return IN_PART
    return FAILS if any(_not_above(gap) for gap in gaps) else OPEN


def by_five_points(gaps: Sequence[Gap]) -> str:
    """The one difference is five points at least."""
    (gap,) = gaps
    if gap.interval.low >= FIVE_POINTS:
        return HOLDS
    if gap.above:
        return IN_PART
    return FAILS if gap.interval.high < FIVE_POINTS else OPEN


def no_worse(gaps: Sequence[Gap]) -> str:
    """None is below its others by more than what counts as on par."""
    fine = [gap.interval.low >= -ON_PAR_DICE for gap in gaps]
    if any(fine):
        return HOLDS if all(fine) else IN_PART
    return FAILS if any(gap.below for gap in gaps) else OPEN


def more_than_half(gaps: Sequence[Gap]) -> str:
    """There is a gain, and a part is nearer to the whole of it than to nothing."""
    gain, part_less_half = gaps
    if not gain.above:
        return OPEN
    return HOLDS if part_less_half.above else FAILS if part_less_half.below else OPEN


def diversity(gaps: Sequence[Gap]) -> str:
    """Several steps are above several noises of one, and these not above one noise."""
    steps, noises = gaps
    if steps.above:
        return HOLDS if _not_above(noises) else IN_PART
    return FAILS if _not_above(steps) else OPEN


def _not_above(gap: Gap) -> bool:
    """Whether the whole interval is at or below what counts as on par."""
    return gap.interval.high <= ON_PAR_DICE


def _shift(method: Method, *others: Method, labels: int | None = 1) -> Question:
    return Question(method, others, labels, SHIFTED_NAME)


def _inside(method: Method, *others: Method, labels: int | None = 1) -> Question:
    return Question(method, others, labels, DATASET)


CLAIMS = (
    Claim(
        "Under shift, with one label, TEDM is at least 5 Dice points above supervised training without augmentation",
        "80.3 against 68.5 (NIH), 90.5 against 77.1 (Montgomery).",
        by_five_points,
        (_shift(TEDM, BASELINE),),
        (*(_shift(TEDM, BASELINE, labels=count) for count in (3, 6, 12, None)), _inside(TEDM, BASELINE)),
    ),
    Claim(
        "Under shift, with one label, TEDM is above supervised training with the whole augmentation, and above such "
        "training that is ten times shorter",
        "",
        all_above,
        (
            *(_shift(method, AUGMENTED) for method in (TEDM, TEDM_AUGMENTED)),
            _shift(TEDM, BASELINE_SHORTER),
            _shift(TEDM_AUGMENTED, AUGMENTED_SHORTER),
        ),
        (
            _shift(TEDM, BASELINE_SHORTER, labels=3),
            _shift(TEDM_AUGMENTED, AUGMENTED_SHORTER, labels=3),
            *(_shift(TEDM_AUGMENTED, AUGMENTED, labels=count) for count in (3, 6, 12, None)),
            _inside(TEDM_AUGMENTED, AUGMENTED),
        ),
    ),
    Claim(
        "In-domain, with all labels, TEDM is no worse than supervised training",
        "97.3 against 97.3 (JSRT, 197 labels).",
        no_worse,
        (_inside(TEDM, BASELINE, labels=None), _inside(TEDM_AUGMENTED, AUGMENTED, labels=None)),
        (
            _inside(TEDM_LONGER, BASELINE_LONGER, labels=None),
            _inside(TEDM_LONGER, TEDM, labels=None),
            _inside(LEDME, TEDM, labels=None),
            _inside(LEDME, BASELINE, labels=None),
            _inside(FINETUNED, AUGMENTED, labels=None),
        ),
    ),
    Claim(
        "Under shift, with one label, one head for all steps (TEDM) is above concatenated steps (LEDMe, LEDM)",
        "80.3 against 70.3 and 63.3 (NIH).",
        all_above,
        (_shift(TEDM, LEDME_DENSE), _shift(TEDM, LEDM_DENSE)),
        (
            *(_shift(TEDM, other, labels=count) for count in (1, 3) for other in (LEDME, LEDM)),
            _shift(LEDME_DENSE, LEDME),
            _shift(LEDM_DENSE, LEDM),
        ),
    ),
    Claim(
        "In-domain, with few labels, LEDMe is a little above TEDM",
        "By 0.6 and 0.7 points with 1 and 3 labels (JSRT).",
        all_above,
        tuple(_inside(LEDME, TEDM, labels=count) for count in (1, 3)),
        (_inside(LEDME_DENSE, TEDM),),
    ),
    Claim(
        "Under shift, with one label, a linear probe of step 1 has more than half of TEDM's gain",
        "Medians 80.8 against 81.8 (NIH), 90.5 against 91.4 (Montgomery), supervised 70.6 and 79.9.",
        more_than_half,
        (_shift(TEDM, BASELINE), _shift(PROBE, TEDM, BASELINE)),
        (*(_shift(TEDM, PROBE, labels=count) for count in (1, 3, 6, 12, None)), _inside(TEDM, PROBE)),
    ),
    Claim(
        "Steps of little noise know the anatomy better than steps of much: a linear probe of step 1 is above those of "
        "500 and 950",
        "Steps 1 to 50 within 1.3 points, 500 5 to 9 lower, 950 unusable (medians, NIH).",
        all_above,
        (_shift(probe_of(1), probe_of(500)), _shift(probe_of(1), probe_of(950))),
        (
            *(_shift(probe_of(1), probe_of(step)) for step in (10, 25, 50, 200)),
            *(_inside(probe_of(1), probe_of(step)) for step in (50, 500, 950)),
        ),
    ),
    Claim(
        "The steps of much noise help TEDM",
        "Kept as a regulariser; its code compares nothing of the kind.",
        all_above,
        (_shift(TEDM, SMALL_STEPS), _inside(TEDM, SMALL_STEPS)),
    ),
    Claim(
        "It is the diversity of steps that helps TEDM, not the averaging of noise: its eight steps are above eight "
        "noises of step 50, and these not above one noise",
        "",
        diversity,
        (_shift(TEDM, ONE_STEP_EIGHT), _shift(ONE_STEP_EIGHT, ONE_STEP_VOXELS)),
        (_inside(TEDM, ONE_STEP_EIGHT), _inside(ONE_STEP_EIGHT, ONE_STEP_VOXELS)),
    ),
    Claim(
        "Under shift, with one label, training the whole pretrained network on is better than the same network from "
        "scratch",
        "",
        all_above,
        (_shift(FINETUNED, SCRATCH), _shift(FAST, SCRATCH)),
        (
            _inside(FINETUNED, SCRATCH),
            *(_shift(FINETUNED, AUGMENTED, labels=count) for count in (1, 3, 6, 12, None)),
            _shift(FINETUNED, TEDM_AUGMENTED),
        ),
    ),
    Claim(
        "Under shift, with one label, augmentation alone lifts supervised training by at least 5 Dice points",
        "",
        by_five_points,
        (_shift(AUGMENTED, BASELINE),),
        (*(_shift(AUGMENTED, BASELINE, labels=count) for count in (3, 6, 12, None)), _inside(AUGMENTED, BASELINE)),
    ),
)
