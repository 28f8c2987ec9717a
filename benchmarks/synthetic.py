"""A plan and batches that need no dataset: balls or discs of their own intensity in noise."""

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
"""The only one of these plans, also where it has two dimensions."""
DATASET = DatasetJson(channel_names={"0": "MRI"}, labels={"background": 0, "a": 1, "b": 2}, file_ending=".nii.gz")


def make_plan(
    *, size: int, stages: int, features: int, most_features: int = 320, dimensions: int = 3, batch_size: int = 2
) -> Plan:
    """A plan whose patches have edges of `size` voxels; features double from stage to stage, up to `most_features`."""
    axes = range(dimensions)
    network = NetworkPlan(
        features=tuple(min(features * 2**stage, most_features) for stage in range(stages)),
        kernels=((3,) * dimensions,) * stages,
        strides=((1,) * dimensions, *((2,) * dimensions,) * (stages - 1)),
        encoder_blocks=(2,) * stages,
        decoder_blocks=(2,) * (stages - 1),
    )
    configuration = ConfigurationPlan(
        dimensions=dimensions,
        spacing=tuple(1.0 for _ in axes),
        median_shape=tuple(size for _ in axes),
        patch_size=tuple(size for _ in axes),
        batch_size=batch_size,
        batch_dice=False,
        normalisation=(NormalisationPlan(scheme="zscore"),),
        network=network,
        mirror_axes=tuple(axes),
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
            centre = torch.rand(len(axes), generator=generator) - 0.5
            squares = torch.stack([(axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True)])
            sample[squares.sum(0) < 0.12] = value
    image = torch.randn(label[:, None].shape, generator=generator) + label[:, None]
    return Batch(image.to(device), label.to(device), ("",) * configuration.batch_size)


def make_trainer(plan: Plan, name: str, precision: str, device: torch.device, **options: object) -> Any:
    """A trainer with its default options but for `options`; the weights are the same each time."""
    torch.manual_seed(0)
    trainer_class = registry.load(registry.TRAINERS, name)
    settings = trainer_class.Options.model_validate(options)
    return trainer_class(plan, CONFIGURATION, DATASET, settings, device=device, precision=precision)


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
