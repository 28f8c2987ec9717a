"""Cross-validation folds: nnU-Net's own split, grouped when the dataset says so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from autodiffseg.atomic import write_json
from autodiffseg.errors import UserError
from autodiffseg.records import Record

FOLDS = 5
SEED = 12345  # nnU-Net's, so that results pair with its results case by case


class Fold(Record):
    """One split: the ids of the cases to train on and to validate on."""

    train: tuple[str, ...]
    val: tuple[str, ...]


def make_folds(cases: Sequence[str], groups: Sequence[str] | None = None) -> list[Fold]:
    """Split sorted case ids as scikit-learn's shuffled KFold with seed 12345 does (nnU-Net's rule).

    With `groups` (one per case) the groups are split so, and every case follows its group. With fewer than five
    groups there are as many folds as groups; a single one cannot be split and serves as both sides.

    Raises:
        UserError: when there is no case.
    """
    if not cases:
        raise UserError("There is no case to make folds of; add training cases to the dataset.")
    order = sorted(range(len(cases)), key=lambda index: cases[index])
    names = [cases[index] for index in order]
    owners = [groups[index] for index in order] if groups is not None else names
    units = sorted(set(owners))
    if len(units) == 1:
        return [Fold(train=tuple(names), val=tuple(names))]
    shuffled = np.arange(len(units))
    np.random.RandomState(SEED).shuffle(shuffled)
    folds = []
    for part in np.array_split(shuffled, min(FOLDS, len(units))):
        held_out = {units[index] for index in part}
        folds.append(
            Fold(
                train=tuple(name for name, owner in zip(names, owners, strict=True) if owner not in held_out),
                val=tuple(name for name, owner in zip(names, owners, strict=True) if owner in held_out),
            )
        )
    return folds


def save_folds(path: Path, folds: Sequence[Fold]) -> None:
    """Write splits_final.json in nnU-Net's form."""
    write_json(path, [{"train": list(fold.train), "val": list(fold.val)} for fold in folds])


def load_folds(path: Path) -> list[Fold]:
    """Read splits_final.json.

    Raises:
        UserError: when the file is missing or is not a list of {"train": [...], "val": [...]}.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run `autodiffseg plan-and-preprocess` first.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(entries, list) or not entries:
        raise UserError(f'{path} must be a list of {{"train": [...], "val": [...]}}, one or more of them.')
    return [Fold.parse(json.dumps(entry), source=f"{path}, fold {index}") for index, entry in enumerate(entries)]


def select_fold(folds: Sequence[Fold], fold: str, cases: Sequence[str], *, source: Path) -> Fold:
    """The split called `fold`: "0", "1", … or "all" (train and validate on everything).

    Raises:
        UserError: when there is no such fold, or it names cases that do not exist.
    """
    if fold == "all":
        return Fold(train=tuple(sorted(cases)), val=tuple(sorted(cases)))
    if fold not in {str(index) for index in range(len(folds))}:
        raise UserError(f"Fold '{fold}' is not in {source}: it has folds 0 to {len(folds) - 1}, and 'all' is possible.")
    chosen = folds[int(fold)]
    strangers = sorted({*chosen.train, *chosen.val} - set(cases))
    if strangers:
        raise UserError(
            f"{source}, fold {fold} names {len(strangers)} cases that are not preprocessed (first: {strangers[0]}); "
            "mend the file or preprocess them."
        )
    return chosen


def require_held_out(names: Iterable[str]) -> None:
    """Refuse folds that hold no case out, where trainings are to be compared.

    Raises:
        UserError: for "all".
    """
    if "all" in names:
        raise UserError("--fold all trains on every case, so none is left to compare on; name folds by number.")
