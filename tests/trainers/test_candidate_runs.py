"""Tests of the runs that find-best chooses among: the command that makes what lacks."""

from pathlib import Path

from autodiffseg.runs import RunRecord
from autodiffseg.trainers.candidate_runs import RunFilter, _command
from autodiffseg.trainers.out_of_fold import PreviousFold
from autodiffseg.workspace import Workspace


def few_label_record() -> RunRecord:
    return RunRecord(
        dataset="Dataset004_Tiny",
        trainer="supervised",
        plan="cpu",
        configuration="2d",
        tag="mine-n3-ls1-seed-2",
        fold="0",
        seed=2,
        options={},
        plan_hash="",
        n_labelled=3,
        label_seed=1,
        iterations=5,
    )


def test_the_command_for_a_missing_fold_asks_for_the_same_few_labels(tmp_path: Path) -> None:
    line = _command(few_label_record(), PreviousFold("1", None, "not trained"), Workspace(tmp_path))
    assert "train Dataset004_Tiny 2d 1 --trainer supervised --plan cpu --tag mine --seed 2" in line
    assert "--n-labelled 3 --label-seed 1 --iterations 5" in line


def test_few_label_runs_take_part_only_when_their_tag_is_named() -> None:
    record = few_label_record()
    assert not RunFilter().fits(record)
    assert RunFilter(tags=("mine-n3-ls1-seed-2",)).fits(record)
