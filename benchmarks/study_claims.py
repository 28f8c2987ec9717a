"""A claim of a paper held against measured rows, as the studies tell it."""

from __future__ import annotations

from typing import NamedTuple

from autodiffseg.evaluation.difference import Difference
from autodiffseg.evaluation.statistics import Interval

UNKNOWN, HOLDS, IN_PART, FAILS, OPEN = (
    "not measured yet",
    "holds",
    "holds in part",
    "does not hold",
    "undecided",
)


class Finding(NamedTuple):
    """One claim or question, and what became of it."""

    claim: str
    paper: str
    """What the paper reports; "" for a question of our own."""
    verdict: str
    here: str
    """What was measured, in sentences."""


def so_far(finding: Finding, *, lacking: bool) -> Finding:
    """The finding, marked as one for the time being where trainings that it is about are lacking."""
    if finding.verdict == UNKNOWN or not lacking:
        return finding
    return finding._replace(verdict=f"{finding.verdict} so far")


def difference_in_words(found: Difference, count: int, noun: str) -> str:
    """A difference in Dice points with its interval, over how many seeds it is (`noun`: which) and its test."""
    seeds = f"{count} {noun}s" if count > 1 else f"one {noun}"
    p = f", p = {found.test.p:.2g}" if found.test.p is not None else ""
    return f"{in_points(found.interval)} ({seeds}{p})"


def in_points(interval: Interval) -> str:
    """A mean in Dice points with its ends."""
    mean, low, high = (100 * end for end in interval)
    return f"{mean:+.2f} Dice points [{low:+.2f}, {high:+.2f}]"
