"""The command pretrain: its files, its guards, and going on; on slices of the phantom."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.cli import run
from autodiffseg.dataset_conversion.phantom import write_phantom
from autodiffseg.runs import RunRecord, dataset_runs
from autodiffseg.trainers import pretraining_setup
from autodiffseg.trainers.backbone import BackboneRecord, read_backbone, require_fits
from autodiffseg.trainers.pretraining_setup import kept_back
from autodiffseg.workspace import Workspace

NAME = "Dataset900_Phantom"
Pretrain = Callable[..., int]


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five images that the phantom does not have."""
    raw = write_phantom(tmp_path_factory.mktemp("more"), cases=5, test_cases=0, shape=(24, 32, 24), seed=9)
    for path in (raw / "imagesTr").iterdir():
        path.rename(path.with_name(path.name.replace("phantom", "stranger")))
    return raw / "imagesTr"


@pytest.fixture
def place(planned_phantom: Path, tmp_path: Path) -> Workspace:
    """A workspace of the test's own with the planned phantom."""
    return Workspace(Path(shutil.copytree(planned_phantom, tmp_path / "workspace")))


@pytest.fixture
def pretrain(place: Workspace, phantom_raw: Path) -> Pretrain:
    """Run the command for four short updates."""

    def call(*arguments: str) -> int:
        quick = ["--iterations", "4", "--num-workers", "0", "--num-processes", "1", "--device", "cpu"]
        fixed = ["--precision", "fp32", "--set", "validation_batches=1", "--set", "checkpoint_every=2"]
        settings = [*fixed, "--set", "base_steps=20", "--workspace", str(place.root)]
        return run(["pretrain", str(phantom_raw), "2d", *arguments, *quick, *settings])

    return call


def folder(place: Workspace, name: str = "pool") -> Path:
    return place.results(NAME) / "pretraining__cpu__2d" / name


@pytest.mark.usefixtures("patient_sheets")
def test_it_leaves_a_backbone_with_its_record_and_pictures_that_is_no_model(
    pretrain: Pretrain, place: Workspace, strangers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain("--unlabelled", str(strangers)) == 0
    told = capsys.readouterr().out
    assert "5 images: 4 to learn from, 1 to watch the loss on." in told
    assert told.rstrip().endswith(f"--backbone {folder(place)} --workspace {place.root}")
    found = {str(path.relative_to(folder(place))) for path in folder(place).rglob("*") if path.is_file()}
    weights = {"checkpoint_last.pt", "checkpoint_best.pt"}
    pictures = {"progress.csv", "progress.png", "samples/update_0000004.png"}
    assert {name for name in found if not name.startswith("tensorboard")} == {
        "run.json",
        "pretraining.json",
        *weights,
        *pictures,
    }
    backbone = read_backbone(folder(place))
    require_fits(backbone, place.plan(NAME, "cpu"), "2d", 1)
    assert backbone.record == BackboneRecord.load(folder(place) / "pretraining.json")
    assert (backbone.record.updates, backbone.record.pool_images, backbone.record.labelled) == (4, 5, ())
    record = RunRecord.load(folder(place) / "run.json")
    assert (record.trainer, record.fold, record.finished) == ("pretraining", "pool", True)
    assert len({*record.training_cases} | {*record.validation_cases}) == 5
    assert dataset_runs(place, NAME) == []


def test_going_on_asks_for_continue_and_the_same_images(
    pretrain: Pretrain, place: Workspace, strangers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain("--unlabelled", str(strangers)) == 0
    before = torch.load(folder(place) / "checkpoint_last.pt", weights_only=True)["average"]
    assert pretrain("--unlabelled", str(strangers)) == 2
    assert "Go on with --continue, or give this one a --tag." in capsys.readouterr().err
    assert pretrain("--unlabelled", str(strangers), "--continue") == 0
    after = torch.load(folder(place) / "checkpoint_last.pt", weights_only=True)["average"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    fewer = shutil.copytree(strangers, tmp_path / "fewer")
    next(fewer.iterdir()).unlink()
    assert pretrain("--unlabelled", str(fewer), "--continue") == 2
    assert "was begun with 5 unlabelled images, and they are not those of now (4" in capsys.readouterr().err
    (folder(place) / "pretraining.json").unlink()  # as when the first sitting was killed; the checkpoint tells too
    assert pretrain("--unlabelled", str(strangers), "--continue", "--transductive") == 2
    assert "was begun without --transductive." in capsys.readouterr().err


def test_training_images_of_a_fold_are_its_alone(
    pretrain: Pretrain, place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain("--with-training-images", "--fold", "0") == 0
    record = read_backbone(folder(place, "pool-fold-0")).record
    split = json.loads(place.splits_path(NAME).read_text())[0]
    assert list(record.labelled) == sorted(split["train"])
    assert (record.fold, record.transductive, record.pool_images) == ("0", False, 4)
    assert pretrain("--with-training-images") == 2
    assert "--with-training-images and --fold go together" in capsys.readouterr().err


def test_validation_and_test_images_are_refused_unless_transductive(
    pretrain: Pretrain, place: Workspace, phantom_raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain("--unlabelled", str(phantom_raw / "imagesTs")) == 2
    assert "--transductive" in capsys.readouterr().err
    assert not folder(place).exists()
    assert pretrain("--unlabelled", str(phantom_raw / "imagesTs"), "--transductive") == 0
    record = read_backbone(folder(place)).record
    assert record.transductive
    assert len(record.labelled) == 2


def test_images_that_are_held_out_are_refused_by_the_command(
    pretrain: Pretrain, strangers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain("--unlabelled", str(strangers), "--held-out", str(strangers)) == 2
    told = capsys.readouterr().err
    assert "5 unlabelled images are cases that are validated or tested on" in told
    assert f"is {strangers.name}/" in told


def test_the_guard_asks_the_raw_dataset_that_was_planned_whatever_it_is_called(
    place: Workspace, phantom_raw: Path, strangers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    another = shutil.copytree(strangers.parent, place.raw / "Dataset900_Another")
    arguments = ["pretrain", "900", "2d", "--unlabelled", str(phantom_raw / "imagesTs"), "--workspace", str(place.root)]
    shutil.copytree(phantom_raw, place.raw / NAME)
    assert run(arguments) == 2  # both are number 900
    assert "cases that are validated or tested on" in capsys.readouterr().err
    shutil.rmtree(place.raw / NAME)
    found = pretraining_setup._raw(place, "900", NAME), pretraining_setup._raw(place, str(another), NAME)
    assert found[0] is None
    assert found[1] is not None


def test_no_images_is_refused_with_the_cure(pretrain: Pretrain, capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain() == 2
    assert "Name their folders with --unlabelled FOLDER." in capsys.readouterr().err


def test_it_is_no_trainer_of_train(place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "Phantom", "2d", "0", "--trainer", "pretraining", "--workspace", str(place.root)]) == 2
    assert "'pretraining'" in capsys.readouterr().err


@given(st.integers(2, 3000))
def test_images_kept_back_are_few_spread_out_and_not_learnt_from(count: int) -> None:
    images = [f"{number:05d}" for number in range(count)]
    learnt, watched = kept_back(images)
    assert sorted([*learnt, *watched]) == images
    assert len(watched) == min(max(1, count // 20), 64)
    gaps = [int(b) - int(a) for a, b in itertools.pairwise(watched)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_single_image_is_both_learnt_from_and_watched() -> None:
    assert kept_back(["a"]) == (("a",), ("a",))
