"""--backbone and --timesteps of train: settings that only some trainers have."""

from __future__ import annotations

from pathlib import Path

from autodiffseg import registry
from autodiffseg.errors import UserError

from .checkpoints import trainer_class
from .ensemble import is_ensemble


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
        if not is_ensemble(trainer) and name not in trainer_class(trainer).Options.model_fields:
            able = [known for known in registry.known(registry.TRAINERS) if _has(known, name)]
            raise UserError(
                f"--{name}: the trainer {trainer} reads no pretrained backbone; {', '.join(sorted(able))} do."
                if name == "backbone"
                else f"--{name}: the trainer {trainer} reads no features at noise levels; {', '.join(sorted(able))} do."
            )
        settings.append(f"{name}={value}")
    return settings


def _has(trainer: str, option: str) -> bool:
    return option in trainer_class(trainer).Options.model_fields
