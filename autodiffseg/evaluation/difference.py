"""Difference: one row less another, paired; the rules by which it is called better, worse or on par."""

from __future__ import annotations

from dataclasses import dataclass

from autodiffseg.evaluation.statistics import FEWEST_PAIRS, Interval, PairedTest

ON_PAR_DICE = 0.005
"""Two rows are on par in Dice when the whole interval of their difference lies within ± this (half a point).

Of fewer pairs than a test needs the interval says nothing: that of a single pair has no width."""


@dataclass(frozen=True)
class Difference:
    """A difference of means with its interval and test."""

    interval: Interval
    """95 %."""
    test: PairedTest
    """Of the same pairs, each by its mean over trainings."""

    @property
    def above(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.interval.low > 0

    @property
    def below(self) -> bool:
        """Whether the whole interval is below zero."""
        return self.interval.high < 0

    @property
    def on_par(self) -> bool:
        """Whether the whole interval of the Dice lies within half a point of zero, of pairs enough for a test."""
        near = self.interval.low >= -ON_PAR_DICE and self.interval.high <= ON_PAR_DICE
        return near and self.test.pairs >= FEWEST_PAIRS
