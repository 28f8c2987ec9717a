"""Trainings that begin with a pretrained backbone: which is taken, which is refused, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autodiffseg.cli import run
from autodiffseg.errors import UserError
from autodiffseg.plans import DiffusionPlan, NormalisationPlan
from autodiffseg.trainers.backbone import preprocessing_of, read_backbone
from autodiffseg.trainers.pretrained_settings import pretrained_settings
from autodiffseg.trainers.run_conditions import same_run
from autodiffseg.trainers.training_memory import bare_loop

from .conftest import tiny_plan

Make = Callable[..., Any]
Save = Callable[..., Path]


def on(path: Path, *more: str) -> tuple[str, ...]:
    return (f"backbone={path}", "timesteps=1,10", *more)


def test_the_backbones_weights_and_levels_are_taken_over_when_training_begins(
    make_trainer: Make, save_backbone: Save
) -> None:
    linear = DiffusionPlan(schedule="linear", base_steps=1000, zero_terminal_snr=False)
    path = save_backbone(diffusion=linear)
    trainer = make_trainer("tedm", settings=on(path))
    loop = bare_loop(trainer)
    wanted = read_backbone(path)
    for name, value in trainer.network.backbone.state_dict().items():
        assert torch.equal(value, wanted.weights[name])
    decibels = 10 * trainer.network.log_snr / torch.log(torch.tensor(10.0))
    assert decibels.tolist() == pytest.approx([36.6, 26.6], abs=0.06)  # timesteps 1 and 10 of DDPM's linear schedule
    assert (loop.record.backbone, loop.record.transductive) == (wanted.digest, False)


def test_without_a_backbone_nothing_begins(make_trainer: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"begins with a pretrained backbone: name its checkpoint with --backbone"):
        bare_loop(make_trainer("tedm"))
    with pytest.raises(UserError, match=r"none\.pt does not exist"):
        bare_loop(make_trainer("tedm", settings=on(tmp_path / "none.pt")))


def test_a_backbone_of_other_images_or_another_schedule_is_refused(make_trainer: Make, save_backbone: Save) -> None:
    plan = tiny_plan()
    seen = preprocessing_of(plan, "patches").model_copy(update={"normalisation": (NormalisationPlan(scheme="ct"),)})
    with pytest.raises(UserError, match=r"the normalisation of channel 0 'ct', but plan 'tiny', patches has 'zscore'"):
        bare_loop(make_trainer("ledm", settings=(f"backbone={save_backbone(preprocessing=seen)}",)))
    short = DiffusionPlan(schedule="cosine", base_steps=200, zero_terminal_snr=False)
    with pytest.raises(UserError, match=r"--timesteps 50,150,250: the backbone was trained on the steps 0 to 199"):
        bare_loop(make_trainer("ledm", settings=(f"backbone={save_backbone(diffusion=short)}",)))


def test_a_backbone_that_has_seen_validation_images_is_refused_or_recorded(
    make_trainer: Make, save_backbone: Save
) -> None:
    path = save_backbone(labelled=("a", "b"))
    trainer = make_trainer("tedm", settings=on(path))
    record = bare_loop(trainer).record.model_copy(update={"validation_cases": ("b", "c")})
    with pytest.raises(UserError, match=r"has seen 1 of fold 0's validation cases"):
        trainer.before_training(record)
    allowed = make_trainer("tedm", settings=on(save_backbone(labelled=("a", "b"), transductive=True)))
    allowed.before_training(record)
    assert allowed.recorded()["transductive"] is True
    begun_with_other_weights = record.model_copy(update={"validation_cases": ("c",), "transductive": True})
    trainer.before_training(begun_with_other_weights)
    assert trainer.recorded()["transductive"] is True


def test_a_training_goes_on_with_its_own_backbone_alone(make_trainer: Make, save_backbone: Save) -> None:
    path = save_backbone()
    begun, again, another = (make_trainer("tedm", settings=on(path)) for _ in "abc")
    bare_loop(begun)
    bare_loop(again)
    again.load_state(begun.state())
    save_backbone(seed=2)
    bare_loop(another)
    with pytest.raises(UserError, match=r"backbone\.pt is not the backbone that this training was begun with"):
        another.load_state(begun.state())


def test_a_training_goes_on_wherever_its_backbone_lies_now(
    make_trainer: Make, save_backbone: Save, tmp_path: Path
) -> None:
    path = save_backbone()
    begun = bare_loop(make_trainer("tedm", settings=on(path))).record
    begun.save(tmp_path / "run.json")
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere" / "checkpoint_last.pt")
    moved = make_trainer("tedm", settings=on(tmp_path / "elsewhere"))
    assert same_run(bare_loop(moved).record, moved, tmp_path).backbone == begun.backbone
    other = make_trainer("tedm", settings=on(tmp_path / "elsewhere", "warmup=5"))
    with pytest.raises(UserError, match=r"--continue: .*run\.json has options other values"):
        same_run(bare_loop(other).record, other, tmp_path)


def test_a_backbone_may_be_named_from_anywhere(
    make_trainer: Make, save_backbone: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_backbone()
    monkeypatch.chdir(tmp_path)
    assert make_trainer("tedm", settings=("backbone=backbone.pt",)).options.backbone == str(
        tmp_path.resolve() / "backbone.pt"
    )


def test_the_options_of_train_become_settings_of_those_who_have_them() -> None:
    path = Path("b.pt")
    assert pretrained_settings("tedm", (), backbone=path, timesteps="1,10") == ["backbone=b.pt", "timesteps=1,10"]
    assert pretrained_settings("supervised", (), backbone=None, timesteps=None) == []
    with pytest.raises(
        UserError, match=r"--backbone: the trainer supervised reads no pretrained backbone; .*ledm.* do"
    ):
        pretrained_settings("supervised", (), backbone=path, timesteps=None)
    with pytest.raises(
        UserError, match=r"--timesteps: the trainer recycling reads no features at noise levels; .*tedm"
    ):
        pretrained_settings("recycling", (), backbone=None, timesteps="1")


def test_an_option_that_no_member_of_an_ensemble_has_is_refused_as_it_was_typed() -> None:
    chosen = ("members=supervised,tedm",)
    assert pretrained_settings("ensemble", chosen, backbone=Path("b.pt"), timesteps=None) == ["backbone=b.pt"]
    with pytest.raises(
        UserError, match=r"^--backbone: every member of ensemble \(supervised, recycling\) reads no .*; finetune-ddpm, "
    ):
        pretrained_settings("ensemble", (), backbone=Path("b.pt"), timesteps=None)
    with pytest.raises(UserError, match=r"^--from-scratch: every member of ensemble .*; finetune-ddpm does"):
        pretrained_settings("ensemble", chosen, backbone=None, timesteps=None, from_scratch=True)


def test_from_scratch_is_for_those_who_have_such_a_twin_and_read_no_backbone_then(
    make_trainer: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    scratch = pretrained_settings("finetune-ddpm", (), backbone=None, timesteps=None, from_scratch=True)
    assert make_trainer("finetune-ddpm", settings=tuple(scratch)).needs_backbone is False
    train = ["train", "1", "2d", "0", "--from-scratch", "--trainer"]
    assert run([*train, "tedm"]) != 0
    assert "--from-scratch: the trainer tedm trains no twin without a backbone; finetune-ddpm does." in (
        capsys.readouterr().err
    )
    assert run([*train, "finetune-ddpm", "--backbone", "b.pt"]) != 0
    assert "--from-scratch reads no backbone, and --backbone b.pt names one; leave" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"--set: from_scratch=true reads no backbone, and backbone=.*b\.pt names one"):
        make_trainer("finetune-ddpm", settings=(*scratch, "backbone=b.pt"))


def test_train_refuses_a_backbone_that_its_trainer_does_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "1", "2d", "0", "--trainer", "supervised", "--backbone", "b.pt"]) != 0
    assert "the trainer supervised reads no pretrained backbone" in capsys.readouterr().err
