"""--backbone and --timesteps of train: settings that only some trainers have."""

from __future__ import annotations

from pathlib import Path

from autodiffseg import registry
from autodiffseg.errors import UserError

from .checkpoints import trainer_class
from .ensemble import is_ensemble

LACKING = {"backbone": "reads no pretrained backbone", "timesteps": "reads no features at noise levels"}
"""Option -> what a trainer does not do that lacks it."""


def pretrained_settings(trainer: str, *, backbone: Path | None, timesteps: str | None) -> list[str]:
    """What is given as settings `name=value`; those of an ensemble are its members'.

    Raises:
        UserError: when the trainer has no such option; the message names those that have.
    """
    given = {"backbone": backbone, "timesteps": timesteps}
    settings = []
    for name, value in given.items():
        if value is None:
            continue
        if not is_ensemble(trainer):
            require_option(trainer, name)
        settings.append(f"{name}={value}")
    return settings


def require_option(trainer: str, name: str) -> None:
    """Refuse a trainer that has no option `name`, one of `LACKING`.

    Raises:
        UserError: names the trainers that have it; or when there is no such trainer.
    """
    if not _has(trainer, name):
        able = ", ".join(sorted(known for known in registry.known(registry.TRAINERS) if _has(known, name)))
        raise UserError(f"--{name}: the trainer {trainer} {LACKING[name]}; {able} do.")


def _has(trainer: str, option: str) -> bool:
    return option in trainer_class(trainer).Options.model_fields
