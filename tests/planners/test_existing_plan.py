"""A plan file that is there: kept, replaced or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.planners.existing_plan import choose_plan
from autodiffseg.plans import Plan

STATISTICS = IntensityStatistics(mean=0, median=0, std=1, min=0, max=1, percentile_00_5=0, percentile_99_5=1)


def plan(raw: str = "old", iterations: int = 10) -> Plan:
    return Plan(
        name="default",
        preset="default",
        dataset="Dataset001_Toy",
        fingerprint_hash=raw,
        transpose=(0, 1, 2),
        intensities=(STATISTICS,),
        configurations={},
        iterations=iterations,
    )


def saved(folder: Path, existing: Plan) -> Path:
    existing.save(folder / "default.json")
    return folder / "default.json"


def test_a_new_plan_is_written(tmp_path: Path) -> None:
    assert choose_plan(tmp_path / "default.json", plan(), before=None, overwrite=False) == (plan(), True, "")


def test_the_same_plan_is_left_alone(tmp_path: Path) -> None:
    choice = choose_plan(saved(tmp_path, plan()), plan(), before=None, overwrite=False)
    assert choice == (plan(), False, "")


def test_an_edited_plan_is_kept_and_said(tmp_path: Path) -> None:
    choice = choose_plan(saved(tmp_path, plan(iterations=99)), plan(), before=None, overwrite=False)
    assert (choice.plan.iterations, choice.write) == (99, False)
    assert "it is kept. --overwrite replaces it" in choice.note


def test_overwrite_replaces_an_edited_plan(tmp_path: Path) -> None:
    choice = choose_plan(saved(tmp_path, plan(iterations=99)), plan(), before=None, overwrite=True)
    assert (choice.plan.iterations, choice.write) == (10, True)


def test_an_unedited_plan_follows_changed_raw_data(tmp_path: Path) -> None:
    choice = choose_plan(saved(tmp_path, plan()), plan(raw="new"), before=plan(), overwrite=False)
    assert (choice.plan.fingerprint_hash, choice.write) == ("new", True)


def test_an_edited_plan_of_other_raw_data_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, plan(iterations=99))
    with pytest.raises(UserError, match=r"default\.json was made for other raw data"):
        choose_plan(path, plan(raw="new"), before=plan(), overwrite=False)
    assert Plan.load(path).iterations == 99
