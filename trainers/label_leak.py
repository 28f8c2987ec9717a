"""Leak of labels: whether weights that a training begins with or learns from know the cases that it is validated on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from autodiffseg.errors import UserError
from autodiffseg.runs import RECORD, RunRecord


def require_labels_unseen(
    checkpoint: Path, *, option: str, dataset: str, fold: str, validation_cases: Sequence[str]
) -> None:
    """Refuse weights that were trained on labels of the fold's validation cases, as run.json beside them tells.

    What they began with counts too.

    Args:
        checkpoint: of a training; where no run.json lies beside it, nothing is known.
        option: by which it was named, for the message.
        dataset: of the fold: cases of other datasets may have the same names.
        fold: "0", "1", …, or "all", which validates on its own training cases and can hide nothing.
        validation_cases: of the fold.

    Raises:
        UserError: when it was trained on one of them.
    """
    path = checkpoint.parent / RECORD
    if fold == "all" or not path.is_file():
        return
    learnt = [each.cases for each in RunRecord.load(path).learnt_from if each.labels and each.dataset == dataset]
    known = sorted({*chain.from_iterable(learnt)} & {*validation_cases})
    if known:
        raise UserError(
            f"{option} {checkpoint} was trained on {len(known)} of this fold's validation cases "
            f"({', '.join(known[:3])}{', …' if len(known) > 3 else ''}); take one of the same fold."
        )
