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
        values: `(seeds, cases)`; a case that is NaN anywhere is left out.
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
    known = ~np.isnan(np.concatenate(methods)).any(axis=0)
    count = int(known.sum())
    if not count:
        return Interval(float("nan"), float("nan"), float("nan"))
    generator = np.random.default_rng(seed)
    cases = generator.multinomial(count, np.full(count, 1 / count), size=samples) / count  # (samples, cases)
    total, mean = np.zeros(samples), 0.0
    for method, sign in zip(methods, (1, -1), strict=False):
        trainings = len(method)
        drawn = generator.multinomial(trainings, np.full(trainings, 1 / trainings), size=samples) / trainings
        total += sign * np.einsum("bs,sc,bc->b", drawn, method[:, known], cases, optimize=True)
        mean += sign * float(method[:, known].mean())
    tail = (1 - level) / 2
    low, high = np.quantile(total, [tail, 1 - tail])
    return Interval(mean, float(low), float(high))
