"""Few-label training: which of a fold's training cases count as labelled; the subsets of one seed are nested."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from autodiffseg.errors import UserError
from autodiffseg.folds import Fold


def keep_labelled(fold: Fold, count: int, *, seed: int, group: Callable[[str], str], name: str) -> Fold:
    """The fold with the first `count` of its training cases in an order that `seed` alone decides.

    So the cases of a smaller count are among those of a larger one, and the validation cases stay. Where cases belong
    to groups (patients), groups are counted and each comes with all of its cases: labels that are rare are rare by the
    patient.

    Args:
        fold: with all of its training cases.
        count: training cases, or groups of them, that are kept.
        seed: of the order.
        group: the group of a case; its own id where there are none.
        name: of the fold, for messages.

    Raises:
        UserError: when there are fewer.
    """
    owners = {case: group(case) for case in fold.train}
    units = sorted(set(owners.values()))
    if count > len(units):
        what = "training cases" if units == sorted(fold.train) else "groups of training cases"
        raise UserError(f"--n-labelled {count}: fold {name} has {len(units)} {what}; ask for {len(units)} or fewer.")
    order = np.random.RandomState(seed).permutation(len(units))  # its stream never changes between versions of numpy
    kept = {units[index] for index in order[:count]}
    return Fold(train=tuple(case for case in fold.train if owners[case] in kept), val=fold.val)


def read_counts(asked: Sequence[str]) -> tuple[int | None, ...]:
    """Numbers of labels from text; `all` is None.

    Raises:
        UserError: for anything else than whole numbers from 1 on, or one that comes twice.
    """
    counts: list[int | None] = []
    for text in asked:
        if text != "all" and not (text.isdecimal() and int(text) > 0):
            raise UserError(f"--n-labelled {text}: whole numbers from 1 on and 'all' are possible.")
        count = None if text == "all" else int(text)
        if count in counts:
            raise UserError(f"--n-labelled {text} is given twice.")
        counts.append(count)
    return tuple(counts)
