"""The two-level bootstrap: an interval that speaks of training anew, from several training seeds of each method."""

from __future__ import annotations

import numpy as np

from autodiffseg.evaluation.statistics import Interval, Values

FEWEST_SEEDS = 3
"""Of two seeds a bootstrap sample has but one in half of the draws: that says nothing of their spread."""


def bootstrap_over_seeds(
    values: Values, baseline: Values | None = None, *, seed: int = 0, samples: int = 10_000, level: float = 0.95
) -> Interval:
    """Percentile bootstrap interval of a mean over training seeds and cases, or of its paired difference.

    Both levels are drawn with replacement and crossed: a sample is some of the trainings on some of the cases. The
    cases of a sample are the same for both methods, which makes the difference a paired one; trainings are drawn
    for each method by itself, since seed 1 of one has nothing to do with seed 1 of another. With n seeds the part of
    the variance that comes from training is taken too small by (n - 1)/n, as with every bootstrap; three are few.

    Args:
        values: `(seeds, cases)`; a case counts by the mean over the trainings that have a value of it, in the
            samples too, and is left out where a method has none.
        baseline: `(seeds, cases)` of the other method on the same cases; its number of seeds may be another.
        seed: of the drawing.
        samples: bootstrap samples.
        level: share of the bootstrap means between the ends.

    Raises:
        ValueError: when a method has fewer than three seeds, or the numbers of cases differ.

    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8.
    """
    methods = [np.asarray(values)] if baseline is None else [np.asarray(values), np.asarray(baseline)]
    shapes = [method.shape for method in methods]
    if min(shape[0] for shape in shapes) < FEWEST_SEEDS or len({shape[1] for shape in shapes}) > 1:
        raise ValueError(f"got {shapes} (seeds, cases); needed are {FEWEST_SEEDS} seeds and the same cases")
    shared = np.logical_and.reduce([(~np.isnan(method)).any(axis=0) for method in methods])
    count = int(shared.sum())
    if not count:
        return Interval(float("nan"), float("nan"), float("nan"))
    generator = np.random.default_rng(seed)
    cases = generator.multinomial(count, np.full(count, 1 / count), size=samples).astype(np.float64)  # (samples, cases)
    drawn_values, known_values = np.zeros((samples, count)), np.zeros(count)
    for method, sign in zip(methods, (1, -1), strict=False):
        trainings, told = len(method), method[:, shared]
        known = ~np.isnan(told)
        drawn = generator.multinomial(trainings, np.full(trainings, 1 / trainings), size=samples).astype(np.float64)
        with np.errstate(invalid="ignore"):  # none of the trainings of a sample has a value of the case
            drawn_values += sign * (drawn @ np.where(known, told, 0)) / (drawn @ known)
        known_values += sign * np.nanmean(told, axis=0)
    cases[np.isnan(drawn_values)] = 0
    with np.errstate(invalid="ignore"):  # nor of any case
        means = (cases * np.nan_to_num(drawn_values)).sum(axis=1) / cases.sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.nanquantile(means, [tail, 1 - tail])
    return Interval(float(known_values.mean()), float(low), float(high))
