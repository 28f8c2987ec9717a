"""A plan and batches that need no dataset: two balls of their own intensity in noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from autodiffseg import registry
from autodiffseg.dataloading.batches import Batch
from autodiffseg.dataset import DatasetJson
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.runs import RunRecord

CONFIGURATION = "3d_fullres"
DATASET = DatasetJson(channel_names={"0": "MRI"}, labels={"background": 0, "a": 1, "b": 2}, file_ending=".nii.gz")


def make_plan(*, size: int, stages: int, features: int) -> Plan:
    """A plan with patches of `size`³ voxels, two a batch; features double from stage to stage, up to 320."""
    network = NetworkPlan(
        features=tuple(min(features * 2**stage, 320) for stage in range(stages)),
        kernels=((3, 3, 3),) * stages,
        strides=((1, 1, 1), *((2, 2, 2),) * (stages - 1)),
        encoder_blocks=(2,) * stages,
        decoder_blocks=(2,) * (stages - 1),
    )
    configuration = ConfigurationPlan(
        dimensions=3,
        spacing=(1.0, 1.0, 1.0),
        median_shape=(size, size, size),
        patch_size=(size, size, size),
        batch_size=2,
        batch_dice=False,
        normalisation=(NormalisationPlan(scheme="zscore"),),
        network=network,
        mirror_axes=(0, 1, 2),
    )
    return Plan(
        name="synthetic",
        preset="default",
        dataset="Dataset000_Synthetic",
        fingerprint_hash="",
        transpose=(0, 1, 2),
        intensities=(IntensityStatistics(**dict.fromkeys(IntensityStatistics.model_fields, 0.0)),),
        configurations={CONFIGURATION: configuration},
        iterations=1,
    )


def make_batch(plan: Plan, device: torch.device) -> Batch:
    """One batch, always the same: what a few updates can learn, whatever the patch size."""
    configuration = plan.configuration(CONFIGURATION)
    generator = torch.Generator().manual_seed(0)
    axes = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in configuration.patch_size), indexing="ij")
    label = torch.zeros((configuration.batch_size, *configuration.patch_size), dtype=torch.int16)
    for sample in label:
        for value in (1, 2):
            centre = torch.rand(3, generator=generator) - 0.5
            squares = torch.stack([(axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True)])
            sample[squares.sum(0) < 0.12] = value
    image = torch.randn(label[:, None].shape, generator=generator) + label[:, None]
    return Batch(image.to(device), label.to(device), ("a", "b"))


def make_trainer(plan: Plan, name: str, precision: str, device: torch.device) -> Any:
    """A trainer with its default options; the weights are the same each time."""
    torch.manual_seed(0)
    trainer_class = registry.load(registry.TRAINERS, name)
    return trainer_class(plan, CONFIGURATION, DATASET, trainer_class.Options(), device=device, precision=precision)


def make_loop(trainer: Any, name: str, iterations: int) -> Any:
    """The training loop round a trainer; only its `step` is used, so it has neither data nor a folder."""
    from autodiffseg.trainers.loop import Loop

    record = RunRecord(
        dataset=trainer.plan.dataset,
        trainer=name,
        plan=trainer.plan.name,
        configuration=CONFIGURATION,
        tag="",
        fold="0",
        seed=0,
        options=trainer.options.model_dump(),
        plan_hash="",
        iterations=iterations,
    )
    nothing: Any = None
    return Loop(trainer, record, Path(), nothing, nothing)
