"""Backbone: a denoiser pretrained on unlabelled images, as what is built on it reads it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from autodiffseg.errors import UserError
from autodiffseg.file_hashes import sha256_of
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.networks.unet import UNet
from autodiffseg.plans import DiffusionPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.records import Record
from autodiffseg.runs import SeenCases

from .checkpoints import LAST, read_checkpoint

FILE = "pretraining.json"
"""The record beside the checkpoint, for people; the one that counts is inside."""
RECORD_KEY, WEIGHTS_KEY = "pretraining", "average"
"""Of the checkpoint's content: the record as JSON, and the averaged weights: name -> tensor."""
USUAL_NOISE = DiffusionPlan(schedule="cosine", base_steps=1000, zero_terminal_snr=False)
"""Of a pretraining with default options. The last step keeps its trace of the image: so the noise can be predicted."""


class Preprocessing(Record):
    """What was done to the images: a backbone knows no others."""

    transpose: tuple[int, int, int]
    """Axes of a raw `(Z, Y, X)` array in the order of everything after reading."""
    spacing: tuple[float, ...]
    """Target spacing in mm; without meaning where there is a `target_size`."""
    target_size: tuple[int, int] | None
    """Pixels (y, x) to which every image was resampled, in 2D; None where `spacing` holds."""
    normalisation: tuple[NormalisationPlan, ...]
    """One per channel. The network saw the images just so: they were not scaled to [-1, 1]."""
    intensities: tuple[IntensityStatistics, ...]
    """Per channel: what `ct` clips and scales by; the other schemes do not look at it."""


class BackboneRecord(Record):
    """What a pretrained denoiser is, and what it has seen."""

    schema_version: Literal[1] = 1
    dataset: str
    """The labelled dataset whose plan the images were preprocessed with."""
    plan: str
    """Name of that plan."""
    configuration: str
    """Of that plan."""
    network: NetworkPlan
    """The plan's, without deep supervision."""
    image_channels: int = Field(ge=1)
    """C: what it sees, and what it predicts the noise of."""
    preprocessing: Preprocessing
    """What must agree with a plan that is to use it."""
    diffusion: DiffusionPlan
    """The noise that it was trained on."""
    loss: Literal["l1", "l2"] = "l1"
    """Of the predicted noise."""
    updates: int = Field(ge=0)
    """Of the weights, up to this checkpoint."""
    ema_decay: float = Field(ge=0, lt=1)
    """Of the running average of the weights, which is what others read."""
    pool_images: int = Field(ge=0)
    """Images that it could learn from, those kept back for watching it included."""
    pool_digest: str
    """Hash of all of them."""
    labelled: tuple[str, ...] = ()
    """Labelled cases and test images among them, by id."""
    transductive: bool = False
    """Whether they may be cases that the result is tested on."""
    fold: str = ""
    """The fold whose training images are among them; "" for none."""

    @property
    def seen(self) -> SeenCases:
        """What is remembered of it in all that begins with its weights."""
        return SeenCases(dataset=self.dataset, cases=self.labelled, transductive=self.transductive, fold=self.fold)

    @model_validator(mode="after")
    def _channels_agree(self) -> Self:
        for name in ("normalisation", "intensities"):
            if len(getattr(self.preprocessing, name)) != self.image_channels:
                raise ValueError(f"image_channels is {self.image_channels}, but {name} has another number of entries")
        return self


class Backbone(NamedTuple):
    """A pretrained denoiser that has been read."""

    record: BackboneRecord
    weights: dict[str, Tensor]
    """The averaged ones, on the CPU, for the network of `build_backbone`."""
    digest: str
    """SHA-256 of the file."""
    path: Path
    """The file."""


def preprocessing_of(plan: Plan, configuration: str) -> Preprocessing:
    """What the plan does to images of a configuration.

    Raises:
        UserError: when the plan has no such configuration.
    """
    planned = plan.configuration(configuration)
    return Preprocessing(
        transpose=plan.transpose,
        spacing=planned.spacing,
        target_size=planned.target_size,
        normalisation=planned.normalisation,
        intensities=plan.intensities,
    )


def backbone_network(plan: Plan, configuration: str) -> NetworkPlan:
    """The planned network as a denoiser has it: noise is predicted at full resolution alone.

    Raises:
        UserError: when the plan has no such configuration.
    """
    return plan.configuration(configuration).network.model_copy(update={"deep_supervision": False})


def build_backbone(record: BackboneRecord) -> UNet:
    """The denoiser with random weights: called with x_t `(B, C, *patch)` and `level` `(B,)`, it predicts the noise."""
    return UNet(
        record.network,
        image_channels=record.image_channels,
        classes=record.image_channels,
        level_conditioning="film",
    )


def checkpoint_content(record: BackboneRecord, weights: dict[str, Tensor]) -> dict[str, Any]:
    """What makes a checkpoint a backbone: `read_backbone` looks for this beside what every checkpoint holds."""
    return {RECORD_KEY: record.model_dump_json(), WEIGHTS_KEY: weights}


def read_backbone(path: Path) -> Backbone:
    """Read a backbone; nothing in the file is executed.

    Args:
        path: a checkpoint of `autodiffseg pretrain`, or the folder that holds `checkpoint_last.pt`.

    Raises:
        UserError: when it is missing, damaged or no backbone.
    """
    file = _file_at(path)
    record, weights = record_and_weights(read_checkpoint(file), file)
    return Backbone(record, weights, sha256_of(file), file)


def backbone_digest(path: Path) -> str:
    """The hash by which runs know a backbone; nothing else of it is read.

    Raises:
        UserError: when there is no such file.
    """
    file = _file_at(path)
    if not file.is_file():
        raise UserError(f"--backbone {path} does not exist; `autodiffseg pretrain` makes one.")
    return sha256_of(file)


def record_and_weights(content: dict[str, Any], file: Path) -> tuple[BackboneRecord, dict[str, Tensor]]:
    """What `file` holds of a backbone, by its content.

    Raises:
        UserError: when it is none, or not whole.
    """
    text, weights = content.get(RECORD_KEY), content.get(WEIGHTS_KEY)
    if not isinstance(text, str) or not isinstance(weights, dict):
        raise UserError(
            f"{file} is of the trainer {content['trainer']}, not of a pretraining; name a checkpoint that "
            "`autodiffseg pretrain` made."
        )
    record = BackboneRecord.parse(text, source=f"{file}, {RECORD_KEY}")
    _require_whole(record, weights, file)
    return record, weights


def require_fits(backbone: Backbone, plan: Plan, configuration: str, image_channels: int) -> None:
    """Refuse a backbone that would see other images than it was trained on, or is another network than planned.

    What counts is what the plans say, not what they are called: patch and batch size may differ.

    Args:
        record: of the backbone that is to be used.
        plan: with which the labelled images are preprocessed.
        configuration: of the plan.
        image_channels: C of these images.

    Raises:
        UserError: names the first difference, with both values.
    """
    record = backbone.record
    for what, found, wanted in _differences(record, plan, configuration, image_channels):
        raise UserError(
            f"{backbone.path} was pretrained with {what} {found}, but plan '{plan.name}', {configuration} has {wanted}."
            f" Use the plan '{record.plan}' of {record.dataset}, or pretrain anew with `autodiffseg pretrain "
            f"{plan.dataset} {configuration} --plan {plan.name}`."
        )


def _file_at(path: Path) -> Path:
    """The file itself, or the checkpoint of a folder; where that holds such folders instead, they are named."""
    if not path.is_dir():
        return path
    if (path / LAST).is_file():
        return path / LAST
    inner = sorted(found.parent.name for found in path.glob(f"*/{LAST}"))
    cure = f"name one of its folders {', '.join(inner[:5])}" if inner else "`autodiffseg pretrain` makes one"
    raise UserError(f"{path} holds no {LAST}; {cure}.")


def _require_whole(record: BackboneRecord, weights: dict[str, Any], file: Path) -> None:
    """Refuse weights that are not all of this network's: what stands on them would be built on random ones."""
    with torch.device("meta"):
        wanted = build_backbone(record).state_dict()
    for name in sorted({*wanted, *weights}, key=str):
        found = weights.get(name)
        if name not in wanted or not isinstance(found, Tensor) or found.shape != wanted[name].shape:
            raise UserError(f"{file} is no sound backbone: its weight '{name}' is not this network's; copy it again.")


def _differences(
    record: BackboneRecord, plan: Plan, configuration: str, image_channels: int
) -> Iterator[tuple[str, object, object]]:
    """Name, pretrained and planned value of everything that does not agree."""
    had, has = record.preprocessing, preprocessing_of(plan, configuration)
    yield from _unequal("image channels", record.image_channels, image_channels)
    yield from _unequal("image channels", record.image_channels, len(has.normalisation))
    yield from _unequal("the axis order", had.transpose, has.transpose)
    yield from _unequal("the target size", had.target_size, has.target_size)
    if has.target_size is None and not (
        len(had.spacing) == len(has.spacing) and all(map(math.isclose, had.spacing, has.spacing))
    ):
        yield "the spacing in mm", had.spacing, has.spacing
    for channel, (before, now) in enumerate(zip(had.normalisation, has.normalisation, strict=True)):
        yield from _unequal(f"the normalisation of channel {channel}", _told(before), _told(now))
        if before.scheme == "ct":
            old, new = had.intensities[channel].model_dump(), has.intensities[channel].model_dump()
            for name, value in old.items():
                yield from _unequal(f"the intensities of channel {channel}: {name}", value, new[name])
    network = backbone_network(plan, configuration).model_dump()
    for name, value in record.network.model_dump().items():
        yield from _unequal(f"the network's {name}", value, network[name])


def _unequal(what: str, found: object, wanted: object) -> Iterator[tuple[str, object, object]]:
    if found != wanted:
        yield what, found, wanted


def _told(normalisation: NormalisationPlan) -> str:
    return f"'{normalisation.scheme}'{' within the mask' if normalisation.use_mask else ''}"
