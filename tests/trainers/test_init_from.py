"""train --init-from: what it refuses, for the sake of the cases that are validated."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from autodiffseg.cli import run
from autodiffseg.errors import UserError
from autodiffseg.folds import load_folds
from autodiffseg.runs import RunRecord, SeenCases
from autodiffseg.trainers.backbone import RECORD_KEY, BackboneRecord
from autodiffseg.trainers.label_leak import require_labels_unseen
from autodiffseg.trainers.run_request import RunRequest
from autodiffseg.trainers.run_setup import prepare
from autodiffseg.workspace import Workspace

Begin = Callable[..., int]


@pytest.fixture
def place(phantom_backbone: Path, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(phantom_backbone, tmp_path / "workspace")))


@pytest.fixture
def begin(place: Workspace) -> Begin:
    """A function that trains one update from a denoiser that has seen a case of fold 0."""

    def begin(*, transductive: bool) -> int:
        path = place.root / "backbone.pt"
        content = torch.load(path, weights_only=True)
        seen = load_folds(place.splits_path("Dataset900_Phantom"))[0].val[:1]
        record = BackboneRecord.model_validate_json(content[RECORD_KEY])
        content[RECORD_KEY] = record.model_copy(
            update={"labelled": tuple(seen), "transductive": transductive}
        ).model_dump_json()
        torch.save(content, path)
        beside_it(place, "pretraining", seen)  # the images that it learnt from, as a pretraining notes them
        arguments = ["train", "Phantom", "3d_fullres", "0", "--workspace", str(place.root), "--init-from", str(path)]
        return run([*arguments, "--iterations", "1", "--num-workers", "0", "--set", "validation_batches=1"])

    return begin


def beside_it(place: Workspace, trainer: str, cases: Iterable[str]) -> None:
    """The run.json of a training on these cases, beside the checkpoint."""
    RunRecord(
        dataset="Dataset900_Phantom", trainer=trainer, plan="cpu", configuration="3d_fullres", tag="", fold="1",
        seed=0, options={}, plan_hash="", iterations=1, hardware="", training_cases=tuple(cases),
    ).save(place.root / "run.json")  # fmt: skip


def folder(place: Workspace) -> Path:
    return place.results("Dataset900_Phantom") / "recycling__cpu__3d_fullres" / "fold_0"


def test_weights_that_have_seen_validation_cases_are_refused(
    begin: Begin, place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert begin(transductive=False) == 2
    assert "has seen 1 of fold 0's validation cases" in capsys.readouterr().err
    assert not folder(place).exists()


@pytest.mark.slow
def test_weights_that_were_allowed_to_see_them_are_recorded(begin: Begin, place: Workspace) -> None:
    assert begin(transductive=True) == 0
    assert RunRecord.load(folder(place) / "run.json").transductive


@pytest.mark.parametrize(("dataset", "fold", "refused"), [
    ("Dataset900_Phantom", "0", True), ("Dataset901_Other", "0", False), ("Dataset900_Phantom", "all", False)
])  # fmt: skip
def test_weights_that_were_trained_on_labels_of_validation_cases_are_refused(
    tmp_path: Path, dataset: str, fold: str, refused: bool
) -> None:
    made = RunRecord(
        dataset=dataset, trainer="supervised", plan="cpu", configuration="2d", tag="", fold="1", seed=0, options={},
        plan_hash="", iterations=1, hardware="", training_cases=("a", "b"),
    )  # fmt: skip
    made.save(tmp_path / "run.json")

    def ask(checkpoint: Path, *cases: str) -> None:
        require_labels_unseen(
            checkpoint, option="--init-from", dataset="Dataset900_Phantom", fold=fold, validation_cases=cases
        )

    ask(tmp_path / "last.pt", "c")
    ask(tmp_path / "elsewhere" / "last.pt", "b")
    with pytest.raises(UserError, match=r"on 1 of this fold's validation cases \(b\)") if refused else nullcontext():
        ask(tmp_path / "last.pt", "b", "c")


def test_train_asks_what_the_weights_were_trained_on(place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    fold = load_folds(place.splits_path("Dataset900_Phantom"))[0]
    path = place.root / "backbone.pt"
    content = torch.load(path, weights_only=True)
    del content[RECORD_KEY]  # as a training leaves it
    torch.save(content, path)
    beside_it(place, "supervised", fold.val)
    arguments = ["train", "Phantom", "3d_fullres", "0", "--workspace", str(place.root), "--init-from", str(path)]
    assert run(arguments) == 2
    assert f"--init-from {path} was trained on {len(fold.val)} of this fold's" in capsys.readouterr().err
    assert not folder(place).exists()


@pytest.mark.parametrize("allowed", [False, True])
def test_what_the_weights_began_with_is_asked_and_kept(place: Workspace, allowed: bool) -> None:
    fold = load_folds(place.splits_path("Dataset900_Phantom"))[0]
    path = place.root / "backbone.pt"
    content = torch.load(path, weights_only=True)
    del content[RECORD_KEY]  # as a training leaves it
    torch.save(content, path)
    beside_it(place, "finetune-ddpm", fold.train[:1])
    record = RunRecord.load(place.root / "run.json")
    pretraining = SeenCases(dataset=record.dataset, cases=fold.val, transductive=allowed, fold="1")
    record.model_copy(update={"seen": (pretraining,)}).save(place.root / "run.json")
    request = RunRequest(
        dataset="Phantom", configuration="3d_fullres", fold="0", trainer="recycling", plan=None, tag="", seed=0,
        iterations=1, device="cpu", precision="fp32", settings=(),
    )  # fmt: skip
    with nullcontext() if allowed else pytest.raises(UserError, match="has seen 2 of fold 0's validation cases"):
        loop, _, _ = prepare(request, place, go_on=False, init_from=path)
        assert loop.record.transductive
        own = SeenCases(dataset=record.dataset, cases=fold.train[:1], labels=True)
        assert RunRecord.load(folder(place) / "run.json").seen == (pretraining, own)
