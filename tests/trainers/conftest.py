"""Tiny trainers on random patches, for tests of what trainers promise."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autodiffseg.dataloading.batches import Batch
from autodiffseg.dataset import DatasetJson
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.plans import ConfigurationPlan, DiffusionPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.trainers.backbone import (
    BackboneRecord,
    backbone_network,
    build_backbone,
    checkpoint_content,
    preprocessing_of,
)
from autodiffseg.trainers.base import Trainer
from autodiffseg.trainers.checkpoints import save_checkpoint, trainer_class
from autodiffseg.trainers.options import read_settings
from autodiffseg.workspace import Workspace

MakeTrainer = Callable[..., Trainer]


def tiny_plan(dimensions: int = 3, *, deep_supervision: bool = False, additive: bool = False) -> Plan:
    """Three stages, patch 8, one channel, plan name `tiny`; `additive` makes a small network like the paper's."""
    two, three = (2,) * dimensions, (3,) * dimensions
    network = NetworkPlan(
        features=(4, 8, 8),
        kernels=(three,) * 3,
        strides=((1,) * dimensions, two, two),
        encoder_blocks=(1, 1, 1),
        decoder_blocks=(1, 1),
        deep_supervision=deep_supervision,
    )
    if additive:
        # On maps of 2³ voxels torch's CPU convolution (2.13, bfloat16) leaves NaN in the gradient of weights at times.
        network = network.model_copy(update={"strides": (*network.strides[:2], (1,) * dimensions)})
        like_the_paper = {"encoder": "residual", "skips": "add", "activation": "gelu", "transformer_layers": 1}
        network = NetworkPlan.model_validate({**network.model_dump(), **like_the_paper, "decoder_blocks": (2, 2, 2)})
    configuration = ConfigurationPlan.model_validate(
        {
            "dimensions": dimensions,
            "spacing": (1.0,) * dimensions,
            "median_shape": (12,) * dimensions,
            "patch_size": (8,) * dimensions,
            "batch_size": 2,
            "batch_dice": False,
            "normalisation": (NormalisationPlan(scheme="zscore"),),
            "network": network,
            "mirror_axes": tuple(range(dimensions)),
        }
    )
    zeros = dict.fromkeys(IntensityStatistics.model_fields, 0.0)
    return Plan(
        name="tiny",
        preset="cpu",
        dataset="Dataset999_Tiny",
        fingerprint_hash="none",
        transpose=(0, 1, 2),
        intensities=(IntensityStatistics(**zeros),),
        configurations={"patches": configuration},
        iterations=10,
    )


def dataset_json(*, regions: bool = False) -> DatasetJson:
    labels = {"background": 0, "whole": [1, 2], "core": 2} if regions else {"background": 0, "one": 1, "two": 2}
    extra = {"regions_class_order": [1, 2]} if regions else {}
    return DatasetJson.model_validate(
        {"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz", **extra}
    )


def tiny_batch(dimensions: int = 3, seed: int = 0, device: str = "cpu") -> Batch:
    """Labels are a threshold of the image, with a corner that is unknown."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 1, *(8,) * dimensions, generator=rng)
    label = ((image[:, 0] > 0).short() + (image[:, 0] > 0.8).short()).short()
    label[:, :2] = -2
    return Batch(image.to(device), label.to(device), ("a", "b"))


@pytest.fixture
def patient_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sheet of generated images takes too long, however busy the machine is."""
    monkeypatch.setattr("autodiffseg.trainers.sample_sheet._time_after", lambda x: 0.0)


@pytest.fixture
def make_trainer() -> MakeTrainer:
    """A function that makes a trainer by name, with seeded weights."""

    def make(
        name: str,
        *,
        dimensions: int = 3,
        device: str = "cpu",
        precision: str = "fp32",
        regions: bool = False,
        deep_supervision: bool = False,
        additive: bool = False,
        settings: tuple[str, ...] = (),
    ) -> Trainer:
        torch.manual_seed(0)
        cls = trainer_class(name)
        plan = tiny_plan(dimensions, deep_supervision=deep_supervision, additive=additive)
        return cls(
            plan,
            "patches",
            dataset_json(regions=regions),
            read_settings(cls.Options, settings),
            device=torch.device(device),
            precision=precision,  # type: ignore[arg-type]
        )

    return make


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """A function that makes a random batch."""
    return tiny_batch


def tiny_backbone(**changes: Any) -> BackboneRecord:
    """The record of a denoiser for `tiny_plan`, in 3D unless `plan` is another; the rest as `changes` say."""
    plan: Plan = changes.pop("plan", tiny_plan())
    told: dict[str, Any] = {
        "dataset": plan.dataset,
        "plan": plan.name,
        "configuration": "patches",
        "network": backbone_network(plan, "patches"),
        "image_channels": 1,
        "preprocessing": preprocessing_of(plan, "patches"),
        "diffusion": DiffusionPlan(schedule="cosine", base_steps=1000, zero_terminal_snr=False),
        "updates": 5,
        "ema_decay": 0.9999,
        "pool_images": 3,
        "pool_digest": "none",
    }
    return BackboneRecord(**(told | changes))


@pytest.fixture
def save_backbone(make_trainer: MakeTrainer, tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a seeded random backbone, as a pretraining would, and gives its file."""

    def save(name: str = "backbone.pt", *, seed: int = 1, **changes: Any) -> Path:
        record = tiny_backbone(**changes)
        torch.manual_seed(seed)
        weights = build_backbone(record).state_dict()
        save_checkpoint(
            tmp_path / name, make_trainer("supervised"), "pretraining", **checkpoint_content(record, weights)
        )
        return tmp_path / name

    return save


@pytest.fixture(scope="session")
def phantom_backbone(planned_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom's workspace with a seeded random denoiser for its 3D configuration, backbone.pt; to be copied."""
    workspace = shutil.copytree(planned_phantom, tmp_path_factory.mktemp("denoiser") / "workspace")
    place, name = Workspace(workspace), "Dataset900_Phantom"
    plan, declared = place.plan(name, "cpu"), DatasetJson.load(place.dataset_json_path(name))
    record = tiny_backbone(
        dataset=name,
        configuration="3d_fullres",
        network=backbone_network(plan, "3d_fullres"),
        preprocessing=preprocessing_of(plan, "3d_fullres"),
    )
    torch.manual_seed(0)
    cls = trainer_class("supervised")
    trainer = cls(plan, "3d_fullres", declared, cls.Options(), device=torch.device("cpu"), precision="fp32")
    content = checkpoint_content(record, build_backbone(record).state_dict())
    save_checkpoint(workspace / "backbone.pt", trainer, "pretraining", **content)
    return workspace
