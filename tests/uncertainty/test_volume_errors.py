"""What volume intervals are calibrated with: the summaries of folds, each case once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autodiffseg.evaluation.summary import CaseScores, Summary, write_summary
from autodiffseg.labels import LabelSpec
from autodiffseg.runs import RunRecord
from autodiffseg.uncertainty.volume_errors import volume_errors

SPEC = LabelSpec(labels={"background": 0, "a": 1, "b": 2})


def validated(
    model: Path, fold: str, cases: dict[str, tuple[int, int]], checkpoint: str = "last", trained: tuple[str, ...] = ()
) -> None:
    """A summary whose class a has these predicted and reference voxels, and class b none wrong."""
    told: dict[str, Any] = {
        "dataset": "D",
        "trainer": "supervised",
        "plan": "cpu",
        "configuration": "2d",
        "tag": "",
        "seed": 0,
    }
    record = RunRecord(
        **told, fold=fold, options={}, plan_hash="", training_cases=trained, iterations=9, iterations_done=9
    )
    record.save(model / f"fold_{fold}" / "run.json")
    scores = tuple(
        CaseScores(
            case,
            {"1": {"n_pred": float(pred), "n_ref": float(ref)}, "2": {"n_pred": 5.0, "n_ref": 5.0}},
            f"{case}.nii.gz",
            f"{case}.nii.gz",
        )
        for case, (pred, ref) in cases.items()
    )
    folder = model / f"fold_{fold}" / "validation"
    write_summary(Summary({"1": "a", "2": "b"}, scores), folder, checkpoint=checkpoint, updates=9)


def test_the_quantile_is_that_of_all_folds(tmp_path: Path) -> None:
    validated(tmp_path, "0", {f"c{n}": (100, 100 + n) for n in range(1, 11)})
    validated(tmp_path, "1", {f"c{n}": (100, 100 - n) for n in range(11, 21)})
    found = volume_errors(tmp_path, ["0", "1"], SPEC)
    assert found.quantiles == {"a": pytest.approx(0.19), "b": 0.0}
    assert "20 cross-validation cases" in found.told


def test_too_few_cases_give_none_and_say_so(tmp_path: Path) -> None:
    validated(tmp_path, "0", {f"c{n}": (100, 100) for n in range(19)})
    found = volume_errors(tmp_path, ["0", "1"], SPEC)
    assert found.quantiles == {}
    assert found.told == "none: 19 cross-validation cases with scores, 20 are needed"


def test_what_was_trained_on_is_no_calibration(tmp_path: Path) -> None:
    validated(tmp_path, "all", {f"c{n}": (100, 100) for n in range(30)})
    assert volume_errors(tmp_path, ["all"], SPEC).quantiles == {}


def test_cases_that_a_fold_was_trained_on_are_none_of_its_calibration(tmp_path: Path) -> None:
    known = tuple(f"c{n}" for n in range(25))  # of one patient, so that there is nothing else to validate on
    validated(tmp_path, "0", {f"c{n}": (100, 100) for n in range(30)}, trained=known)
    assert volume_errors(tmp_path, ["0"], SPEC).told == "none: 5 cross-validation cases with scores, 20 are needed"


def test_the_errors_of_fewer_updates_are_none_of_these_weights(tmp_path: Path) -> None:
    validated(tmp_path, "0", {f"c{n}": (100, 100) for n in range(30)})
    path = tmp_path / "fold_0" / "run.json"
    RunRecord.load(path).model_copy(update={"iterations_done": 10}).save(path)
    assert volume_errors(tmp_path, ["0"], SPEC).quantiles == {}


def test_the_errors_of_another_checkpoint_are_none_of_this(tmp_path: Path) -> None:
    validated(tmp_path, "0", {f"c{n}": (100, 100) for n in range(30)}, checkpoint="best")
    assert volume_errors(tmp_path, ["0"], SPEC).quantiles == {}
    assert volume_errors(tmp_path, ["0"], SPEC, checkpoint="best").quantiles == {"a": 0, "b": 0}
