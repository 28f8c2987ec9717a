"""Rows of a label curve: what they are called, what is put together, and which is the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autodiffseg.dataset import DatasetJson
from autodiffseg.evaluation.label_curves import Place
from autodiffseg.evaluation.summary import CaseScores, Summary, write_summary
from autodiffseg.runs import RunRecord, fold_folder, run_name, whole_tag
from autodiffseg.trainers.entrants import Wanted
from autodiffseg.trainers.few_label_rows import find_rows, labels_of
from autodiffseg.workspace import Workspace

DECLARED = DatasetJson.model_validate(
    {"channel_names": {"0": "x"}, "labels": {"background": 0, "lung": 1}, "file_ending": ".png"}
)


def leave(
    workspace: Workspace,
    trainer: str,
    n: int | None,
    label_seed: int = 0,
    *,
    tag: str = "",
    seed: int = 0,
    backbone: str = "",
    transductive: bool = False,
    checkpoint: str = "last",
    fold: str = "0",
) -> None:
    """A validated training."""
    whole = whole_tag(tag, seed, n, label_seed)
    folder = fold_folder(workspace.results("D") / run_name(trainer, "cpu", "2d", whole), fold)
    RunRecord(
        dataset="D", trainer=trainer, plan="cpu", configuration="2d", tag=whole, fold=fold, seed=seed, options={},
        plan_hash="", n_labelled=n, label_seed=label_seed, training_cases=("a", "b", "c", "d")[:n], iterations=1,
        iterations_done=1, finished=True, backbone=backbone, transductive=transductive,
    ).save(folder / "run.json")  # fmt: skip
    case = CaseScores("e", {"1": {"Dice": 0.5, "HD95": 1.0, "n_pred": 1, "n_ref": 1}}, "e", "e")
    write_summary(Summary({"1": "lung"}, (case,)), folder / "validation", checkpoint=checkpoint, updates=1, passes=1)


def places(workspace: Workspace, **wanted: Any) -> dict[Place, list[str]]:
    chosen = Wanted(each_training=True, **wanted)
    (domain,) = find_rows(workspace, "D", DECLARED, chosen, [], lambda *_: pytest.fail("nothing is shifted")).domains
    return {place: sorted(trainings) for place, trainings in domain.trainings.items()}


def notes(workspace: Workspace) -> list[str]:
    every = Wanted(each_training=True)
    return find_rows(workspace, "D", DECLARED, every, [], lambda *_: pytest.fail("nothing is shifted")).notes


def test_trainings_of_other_label_seeds_and_seeds_are_one_row_and_all_labels_are_counted(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for label_seed in (0, 1):
        leave(workspace, "supervised", 1, label_seed)
    leave(workspace, "supervised", 1, 1, seed=3)
    leave(workspace, "supervised", None)
    assert places(workspace) == {
        Place(1, "supervised"): ["0.0", "1.0", "1.3"],
        Place(4, "supervised"): ["0.0"],
    }
    assert places(workspace, counts=(None,)) == {Place(4, "supervised"): ["0.0"]}
    assert places(workspace, counts=(1,), label_seeds=(0,)) == {Place(1, "supervised"): ["0.0"]}


def test_trainings_of_a_row_that_differ_in_more_than_seeds_are_told_of(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for label_seed, backbone in enumerate(("one", "one", "another")):
        leave(workspace, "tedm", 3, label_seed, backbone=backbone)
        leave(workspace, "tedm", 1, label_seed, backbone="one")
    assert notes(workspace) == [
        "tedm with 3 labels: its trainings differ in backbone too, not in their seeds alone.",
    ]


def test_rows_are_named_whose_weights_have_seen_what_is_validated_or_were_chosen_on_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    leave(workspace, "supervised", 1)
    leave(workspace, "ledm", 1, checkpoint="best")
    for labels in (3, 1):
        leave(workspace, "tedm", labels, backbone="one", transductive=True)
    leave(workspace, "tedm", 1, backbone="one", fold="1")  # whose validation cases that backbone has not seen
    assert notes(workspace) == [
        "The pretrained weights of tedm with 1 label, tedm with 3 labels have seen images of cases that are "
        "validated, without their labels (transductive).",
        "Of ledm with 1 label the best checkpoint is validated, which was chosen on these very cases.",
    ]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"transductive": True}, "what their pretrained weights have seen"),
        ({"checkpoint": "best"}, "the checkpoint that is validated"),
    ],
)
def test_a_row_of_trainings_that_are_too_good_and_others_is_told_of(
    tmp_path: Path, other: dict[str, Any], told: str
) -> None:
    workspace = Workspace(tmp_path)
    leave(workspace, "tedm", 1, 0, backbone="one")
    leave(workspace, "tedm", 1, 1, backbone="one", **other)
    assert notes(workspace)[0] == (f"tedm with 1 label: its trainings differ in {told} too, not in their seeds alone.")


def test_of_two_runs_on_the_same_labels_and_seeds_one_is_left_out_and_told_of(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    leave(workspace, "supervised", None)
    leave(workspace, "supervised", 4)  # all that there are
    found = find_rows(workspace, "D", DECLARED, Wanted(each_training=True), [], lambda *_: pytest.fail("not shifted"))
    assert [len(trainings) for trainings in found.domains[0].trainings.values()] == [1]
    assert len(found.left_out) == 1
    assert "as many labels and the same seeds" in found.left_out[0]


def test_a_tag_names_a_row_where_there_are_several(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    leave(workspace, "supervised", 1, tag="plain")
    leave(workspace, "finetune-ddpm", 1, tag="plain")
    assert {place.method for place in places(workspace)} == {"supervised", "finetune-ddpm"}
    leave(workspace, "supervised", 1)
    assert {place.method for place in places(workspace)} == {"supervised plain", "finetune-ddpm plain", "supervised"}
    assert {place.method for place in places(workspace, asked_tag="")} == {"supervised"}


def test_groups_are_counted_where_there_are_any() -> None:
    record = RunRecord(
        dataset="D", trainer="supervised", plan="cpu", configuration="2d", tag="", fold="0", seed=0, options={},
        plan_hash="", training_cases=("p1_a", "p1_b", "p2_a"), iterations=1,
    )  # fmt: skip
    assert labels_of(record, DECLARED) == 3
    assert labels_of(record, DECLARED.model_copy(update={"group_regex": r"^(p\d)"})) == 2
