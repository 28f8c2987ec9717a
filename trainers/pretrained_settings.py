"""--backbone, --timesteps and --from-scratch of train: settings that only some trainers have."""

from __future__ import annotations

from pathlib import Path

from autodiffseg import registry
from autodiffseg.errors import UserError

from .checkpoints import trainer_class
from .ensemble import is_ensemble

LACKS = {
    "backbone": "reads no pretrained backbone",
    "timesteps": "reads no features at noise levels",
    "from_scratch": "trains no twin without a backbone",
}
"""Option -> what is said of a trainer that has none such."""


def pretrained_settings(
    trainer: str, *, backbone: Path | None, timesteps: str | None, from_scratch: bool = False
) -> list[str]:
    """What is given as settings `name=value`; those of an ensemble are its members'.

    Raises:
        UserError: when the trainer has no such option, and the message names those that have; or when a backbone is
            named that would not be read.
    """
    if from_scratch and backbone is not None:
        raise UserError(
            f"--from-scratch reads no backbone, and --backbone {backbone} names one; leave one of them out."
        )
    given = {"backbone": backbone, "timesteps": timesteps, "from_scratch": "true" if from_scratch else None}
    settings = []
    for name, value in given.items():
        if value is None:
            continue
        if not is_ensemble(trainer) and not _has(trainer, name):
            able = sorted(known for known in registry.known(registry.TRAINERS) if _has(known, name))
            raise UserError(
                f"--{name.replace('_', '-')}: the trainer {trainer} {LACKS[name]}; {', '.join(able)} "
                f"{'does' if len(able) == 1 else 'do'}."
            )
        settings.append(f"{name}={value}")
    return settings


def _has(trainer: str, option: str) -> bool:
    return option in trainer_class(trainer).Options.model_fields
