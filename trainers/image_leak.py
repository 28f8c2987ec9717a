"""Leak of images: whether weights that a training begins with have seen the cases that it is validated on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from autodiffseg.errors import UserError
from autodiffseg.runs import RECORD, RunRecord, SeenCases

from .backbone import RECORD_KEY, record_and_weights
from .checkpoints import read_checkpoint
from .label_leak import require_labels_unseen


def require_weights_unseen(
    checkpoint: Path, *, dataset: str, fold: str, validation_cases: Sequence[str]
) -> tuple[tuple[SeenCases, ...], bool]:
    """Refuse a checkpoint for `--init-from` whose weights know validation cases, or others that these began with.

    Args:
        checkpoint: of a pretraining, or of a training: of that the run.json beside it tells.
        dataset: of the fold.
        fold: its name.
        validation_cases: of the fold.

    Returns:
        What the weights have learnt from, and whether images of validation cases are among it; both to be recorded.

    Raises:
        UserError: when it cannot be read, knows labels of validation cases, or images that it was not allowed to see.
    """
    content, path = read_checkpoint(checkpoint), checkpoint.parent / RECORD
    seen: tuple[SeenCases, ...] = ()
    if RECORD_KEY in content:
        seen = (record_and_weights(content, checkpoint)[0].seen,)
    elif path.is_file():
        require_labels_unseen(
            checkpoint, option="--init-from", dataset=dataset, fold=fold, validation_cases=validation_cases
        )
        seen = RunRecord.load(path).learnt_from
    met = require_images_unseen(seen, checkpoint, dataset=dataset, fold=fold, validation_cases=validation_cases)
    return seen, met


def require_images_unseen(
    seen: Iterable[SeenCases], source: Path, *, dataset: str, fold: str, validation_cases: Sequence[str]
) -> bool:
    """Refuse weights that have seen validation cases, unless they were allowed to (`pretrain --transductive`).

    Args:
        seen: what they have learnt from.
        source: their file, for the message.
        dataset: of the fold: cases of other datasets may have the same names.
        fold: "0", "1", …, or "all", which validates on its own training cases and can hide nothing.
        validation_cases: of the fold.

    Returns:
        Whether they have seen validation cases, which is to be recorded.

    Raises:
        UserError: when they have, and were not allowed to.
    """
    met = False
    for each in seen:
        if fold == "all" or each.labels or each.dataset != dataset:
            continue
        known = sorted({*each.cases} & {*validation_cases})
        if known and not each.transductive:
            among = f"the training images of fold {each.fold}" if each.fold else "unlabelled images"
            raise UserError(
                f"{source} has seen {len(known)} of fold {fold}'s validation cases among {among} "
                f"({', '.join(known[:3])}{', …' if len(known) > 3 else ''}). Take weights that have not: those of "
                f"`autodiffseg pretrain` with `--with-training-images --fold {fold}`, or without."
            )
        met = met or bool(known)
    return met


def unknown_overlap(record: RunRecord) -> list[str]:
    """A line for each other dataset for which the weights that a training began with were pretrained."""
    others = sorted({each.dataset for each in record.seen if not each.labels and each.dataset != record.dataset})
    return [
        f"The weights were pretrained for {other}. Whether they have seen images of {record.dataset} is not known: ids "
        "of two datasets cannot be compared."
        for other in others
    ]
