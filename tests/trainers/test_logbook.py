"""The logbook: whole after every row, and cut back to where a resumed run goes on."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from autodiffseg.errors import UserError
from autodiffseg.trainers.logbook import FIRST, LAST, Logbook

LOOKS = {"validation_patch_dice": "Dice"}
COLUMNS = (*FIRST, "dice_loss", "anything", *LAST, *LOOKS)


def row(update: int) -> dict[str, float]:
    return {**dict.fromkeys(COLUMNS, 0.5), "update": update, "validation_patch_dice": math.nan}


def test_rows_after_the_point_of_resuming_are_dropped(tmp_path: Path) -> None:
    first = Logbook(tmp_path, looks=LOOKS, resume_at=0)
    for update in (50, 100, 150):
        first.add(row(update))
    second = Logbook(tmp_path, looks=LOOKS, resume_at=100)
    assert not (tmp_path / "progress.png").exists()
    second.add({**row(120), "validation_patch_dice": 0.5})
    with (tmp_path / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(entry["update"]) for entry in rows] == [50, 100, 120]
    assert list(rows[0]) == list(COLUMNS)
    assert (tmp_path / "progress.png").read_bytes().startswith(b"\x89PNG")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "progress.csv").write_text("update,loss\n1,x\n")
    with pytest.raises(UserError, match=r"progress\.csv is damaged"):
        Logbook(tmp_path, looks=LOOKS, resume_at=9)


def test_parts_of_a_loss_have_columns_of_any_name_between_those_of_every_training(tmp_path: Path) -> None:
    book = Logbook(tmp_path, looks=LOOKS, resume_at=0)
    book.add({**row(50), "later": 2.0})
    del book.rows[0]["later"]
    book.add({**row(100), "later": 3.0})
    assert book.parts == ("dice_loss", "anything", "later")
    with (tmp_path / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [*FIRST, *book.parts, *LAST, *LOOKS]
    assert [entry["later"] for entry in rows] == ["nan", "3"]
