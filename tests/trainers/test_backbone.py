"""Backbones: what is read is what was saved; what does not fit, or has seen too much, is refused in one line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autodiffseg.errors import UserError
from autodiffseg.plans import NormalisationPlan, Plan
from autodiffseg.trainers.backbone import build_backbone, read_backbone, require_fits

from .conftest import tiny_backbone, tiny_plan

Save = Callable[..., Path]


def changed(**changes: Any) -> Plan:
    """The tiny plan with another configuration."""
    plan = tiny_plan()
    other = plan.configurations["patches"].model_copy(update=changes)
    return plan.model_copy(update={"configurations": {"patches": other}})


def test_the_averaged_weights_and_the_record_come_back(save_backbone: Save) -> None:
    path = save_backbone(seed=3, labelled=("a",), transductive=True)
    found = read_backbone(path)
    torch.manual_seed(3)
    wanted = build_backbone(found.record)
    assert found.record == tiny_backbone(labelled=("a",), transductive=True)
    assert found.weights.keys() == wanted.state_dict().keys()
    assert all(torch.equal(value, found.weights[name]) for name, value in wanted.state_dict().items())
    assert (found.path, found.digest) == (path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_folder_stands_for_its_last_checkpoint(save_backbone: Save) -> None:
    path = save_backbone("checkpoint_last.pt")
    assert read_backbone(path.parent).path == path


def test_a_folder_without_a_checkpoint_names_those_within(save_backbone: Save) -> None:
    path = save_backbone("checkpoint_last.pt")
    (path.parent / "pool").mkdir()
    path.rename(path.parent / "pool" / path.name)
    with pytest.raises(UserError, match=r"holds no checkpoint_last.pt; name one of its folders pool"):
        read_backbone(path.parent)


def test_a_segmentation_trainers_checkpoint_is_no_backbone(make_trainer: Callable[..., Any], tmp_path: Path) -> None:
    from autodiffseg.trainers.checkpoints import save_checkpoint

    save_checkpoint(tmp_path / "other.pt", make_trainer("supervised"), "supervised")
    with pytest.raises(UserError, match=r"other.pt is of the trainer supervised, not of a pretraining"):
        read_backbone(tmp_path / "other.pt")


@pytest.mark.parametrize("damage", ["missing", "shape", "kind", "strange"])
def test_weights_that_are_not_the_networks_are_refused(save_backbone: Save, damage: str) -> None:
    path = save_backbone()
    content = torch.load(path, weights_only=True)
    weights, name = content["average"], "heads.0.bias"
    weights |= {"missing": {}, "shape": {name: torch.zeros(7)}, "kind": {name: 1}, "strange": {"x": torch.zeros(1)}}[
        damage
    ]
    if damage == "missing":
        del weights[name]
    torch.save(content, path)
    with pytest.raises(UserError, match=r"no sound backbone: its weight '(heads.0.bias|x)'"):
        read_backbone(path)


def test_it_predicts_the_noise_of_every_channel_and_hears_the_level() -> None:
    network = build_backbone(tiny_backbone()).train()
    image = torch.randn(2, 1, 8, 8, 8)
    quiet, loud = (network(image, level=torch.full((2,), level)) for level in (5.0, -5.0))
    assert quiet.shape == image.shape  # also while training: no deep supervision
    assert not torch.equal(quiet, loud)


def test_a_plan_with_another_patch_batch_or_name_fits(save_backbone: Save) -> None:
    other = changed(patch_size=(16, 16, 16), batch_size=7).model_copy(update={"name": "other"})
    require_fits(read_backbone(save_backbone()), other, "patches", 1)


@pytest.mark.parametrize(
    ("plan", "channels", "message"),
    [
        (tiny_plan(), 2, "image channels 1, but plan 'tiny', patches has 2"),
        (tiny_plan().model_copy(update={"transpose": (2, 1, 0)}), 1, r"the axis order \(0, 1, 2\), but .* \(2, 1, 0\)"),
        (changed(spacing=(1.0, 1.0, 1.5)), 1, r"the spacing in mm \(1.0, 1.0, 1.0\), but .* \(1.0, 1.0, 1.5\)"),
        (changed(target_size=(8, 8)), 1, r"the target size None, but .* \(8, 8\)"),
        (
            changed(normalisation=(NormalisationPlan(scheme="rescale"),)),
            1,
            "the normalisation of channel 0 'zscore', but .* 'rescale'",
        ),
        (
            changed(normalisation=(NormalisationPlan(scheme="zscore", use_mask=True),)),
            1,
            "'zscore', but .* 'zscore' within the mask",
        ),
        (tiny_plan(additive=True), 1, "the network's encoder plain, but .* residual"),
    ],
)
def test_what_differs_is_named_with_both_values_and_the_cure(
    save_backbone: Save, plan: Plan, channels: int, message: str
) -> None:
    with pytest.raises(UserError, match=message + r"\. Use the plan 'tiny' of Dataset999_Tiny, or pretrain anew"):
        require_fits(read_backbone(save_backbone()), plan, "patches", channels)


def test_intensities_count_where_ct_scales_by_them_alone(save_backbone: Save) -> None:
    def brighter(plan: Plan) -> Plan:
        return plan.model_copy(update={"intensities": (plan.intensities[0].model_copy(update={"mean": 3.0}),)})

    require_fits(read_backbone(save_backbone()), brighter(tiny_plan()), "patches", 1)
    ct = changed(normalisation=(NormalisationPlan(scheme="ct"),))
    with pytest.raises(UserError, match=r"the intensities of channel 0: mean 0.0, but .* 3.0"):
        require_fits(read_backbone(save_backbone(plan=ct)), brighter(ct), "patches", 1)


def test_a_target_size_leaves_the_spacing_without_meaning(save_backbone: Save) -> None:
    resized = changed(target_size=(8, 8))
    require_fits(
        read_backbone(save_backbone(plan=resized)), changed(target_size=(8, 8), spacing=(2.0,) * 3), "patches", 1
    )
