"""Which scores count as those of a finished training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autodiffseg.evaluation.summary import CaseScores, Summary, write_summary
from autodiffseg.evaluation.validated import is_of_last, is_validated
from autodiffseg.runs import VALIDATION, RunRecord

RECORD = RunRecord(
    dataset="D",
    trainer="supervised",
    plan="cpu",
    configuration="2d",
    tag="",
    fold="0",
    seed=0,
    options={},
    plan_hash="",
    iterations=9,
    iterations_done=7,
)
SUMMED = Summary(
    {"1": "ball"},
    (CaseScores("a", {"1": {"Dice": 1.0, "n_pred": 1.0, "n_ref": 1.0}}, "a", "a"),),
    {"checkpoint": "last", "updates": 7},
)


@pytest.mark.parametrize(
    "notes", [{"checkpoint": "best", "updates": 7}, {"checkpoint": "last", "updates": 5}, {"updates": 7}, {}]
)
def test_scores_of_other_weights_do_not_count(notes: dict[str, object]) -> None:
    assert is_of_last(SUMMED, RECORD)
    assert not is_of_last(replace(SUMMED, notes=notes), RECORD)


def test_a_fold_is_validated_once_its_scores_lie_there(tmp_path: Path) -> None:
    assert not is_validated(tmp_path, RECORD)
    write_summary(SUMMED, tmp_path / VALIDATION, checkpoint="last", updates=7)
    assert is_validated(tmp_path, RECORD)
