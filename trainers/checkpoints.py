"""Checkpoints: everything that prediction and resuming need, in one file that is read with weights_only=True."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autodiffseg import registry
from autodiffseg.atomic import atomic_path
from autodiffseg.checkpoint_file import BEST, FORMAT, LAST, checkpoint_id, read_checkpoint
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.plans import Plan

from .base import Trainer
from .learner import Learner
from .precision import Precision, choose_precision

# What is known of the file alone is the ground's; here it is handed on beside what needs a trainer.
__all__ = [
    "BEST",
    "FORMAT",
    "LAST",
    "checkpoint_id",
    "hash_as_tensor",
    "initialise_from",
    "load_trainer",
    "load_weights",
    "read_checkpoint",
    "require_same_training",
    "save_checkpoint",
    "trainer_class",
]


def trainer_class(name: str) -> type[Trainer]:
    """The trainer called `name`, or `package.module:Class`.

    Raises:
        UserError: when there is none, or it is no Trainer.
    """
    found = registry.load(registry.TRAINERS, name)
    if not (isinstance(found, type) and issubclass(found, Trainer)):
        raise UserError(f"'{name}' is no subclass of autodiffseg.trainers.base.Trainer.")
    return found


def save_checkpoint(path: Path, trainer: Learner, name: str, **state: Any) -> None:
    """Write a checkpoint atomically.

    Args:
        path: of the file.
        trainer: whose network is saved.
        name: by which the trainer is found again.
        state: what resuming needs besides: numbers, strings, and dictionaries of tensors.
    """
    content = {
        "format": FORMAT,
        "trainer": name,
        "plan": trainer.plan.model_dump_json(),
        "configuration": trainer.configuration_name,
        "dataset": trainer.dataset.model_dump_json(by_alias=True),
        "options": trainer.options.model_dump_json(),
        "network": trainer.network.state_dict(),
        **state,
    }
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def load_trainer(path: Path, device: torch.device, precision: str = "auto") -> Trainer:
    """The trainer of a checkpoint, with its weights, ready to predict.

    Raises:
        UserError: when the file is no checkpoint, or its trainer is not installed.
    """
    return trainer_of(read_checkpoint(path), device, choose_precision(precision, device), source=path)


def trainer_of(content: dict[str, Any], device: torch.device, precision: Precision, *, source: Path) -> Trainer:
    """The trainer of what `read_checkpoint` gave for the file `source`; on the meta device without its weights.

    Raises:
        UserError: when its trainer is not installed, or the content does not fit together.
    """
    cls = trainer_class(content["trainer"])
    trainer = cls(
        Plan.parse(content["plan"], source=f"{source}, plan"),
        content["configuration"],
        DatasetJson.parse(content["dataset"], source=f"{source}, dataset"),
        cls.Options.parse(content["options"], source=f"{source}, options"),
        device=device,
        precision=precision,
    )
    if device.type != "meta":
        load_weights(trainer, content["network"], source=source)
    trainer.prepare_prediction()
    return trainer


def load_weights(trainer: Learner, weights: dict[str, torch.Tensor], *, source: Path) -> None:
    """Copy all weights into the trainer's network.

    Raises:
        UserError: when names or shapes differ.
    """
    try:
        trainer.network.load_state_dict(weights)
    except RuntimeError as error:
        # With many differences the last line names one shape, or a whole list of names.
        raise UserError(f"{source} does not fit this network: {str(error).splitlines()[-1].strip():.200}") from error


def require_same_training(content: dict[str, Any], trainer: Learner, name: str, *, source: Path) -> None:
    """Refuse a checkpoint of another training: its weights may fit, since trainers share one network.

    Args:
        content: of the checkpoint.
        trainer: that is to go on from it.
        name: of the trainer.
        source: the file.

    Raises:
        UserError: when trainer, configuration or plan differ.
    """
    for what, found, wanted in (
        ("trainer", content["trainer"], name),
        ("configuration", content["configuration"], trainer.configuration_name),
    ):
        if found != wanted:
            raise UserError(f"{source} is of the {what} {found}, not {wanted}; put the file back that this fold had.")
    if Plan.parse(content["plan"], source=f"{source}, plan") != trainer.plan:
        raise UserError(
            f"{source} was trained with another plan than '{trainer.plan.name}' is now; put the plan or the checkpoint "
            "back, or train anew under a --tag."
        )


def initialise_from(trainer: Trainer, path: Path) -> tuple[int, int]:
    """Copy those weights of another checkpoint that have the same name and shape.

    Returns:
        How many of the network's tensors were taken over, and how many it has.

    Raises:
        UserError: when nothing fits.
    """
    weights = read_checkpoint(path)["network"]
    own = trainer.network.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise UserError(f"--init-from {path}: no weight of it fits this network.")
    trainer.network.load_state_dict(fitting, strict=False)
    return len(fitting), len(own)


def hash_as_tensor(digest: str) -> Tensor:
    """Hexadecimal digits as bytes, which a checkpoint can hold among tensors."""
    return torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8, device="cpu")
