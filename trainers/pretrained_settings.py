"""--backbone, --timesteps and --from-scratch of train: settings that only some trainers have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autodiffseg import registry
from autodiffseg.errors import UserError

from .checkpoints import trainer_class
from .ensemble import is_ensemble, read_members

LACKS = {
    "backbone": "reads no pretrained backbone",
    "timesteps": "reads no features at noise levels",
    "from_scratch": "trains no twin without a backbone",
}
"""Option -> what is said of a trainer that has none such."""


def pretrained_settings(
    trainer: str, settings: Sequence[str], *, backbone: Path | None, timesteps: str | None, from_scratch: bool = False
) -> list[str]:
    """What is given as settings `name=value`, which are those of an ensemble's members that have them.

    Args:
        trainer: or ensemble.
        settings: what else is set; those of an ensemble name its members.
        backbone: as given with `--backbone`.
        timesteps: as given with `--timesteps`.
        from_scratch: whether `--from-scratch` was given.

    Raises:
        UserError: when there is no such option, and the message names the trainers that have it; or when a backbone is
            named that would not be read.
    """
    if from_scratch and backbone is not None:
        raise UserError(f"--from-scratch reads no backbone, and --backbone {backbone} names one; leave one out.")
    given = {"backbone": backbone, "timesteps": timesteps, "from_scratch": "true" if from_scratch else None}
    asked = {name: value for name, value in given.items() if value is not None}
    for name in asked:
        require_option(trainer, name, settings)
    return [f"{name}={value}" for name, value in asked.items()]


def require_option(trainer: str, option: str, settings: Sequence[str] = ()) -> None:
    """Refuse an option, one of `LACKS`, that neither the trainer nor, of an ensemble, one of its members has.

    Args:
        trainer: or ensemble.
        option: its name.
        settings: those of an ensemble name its members.

    Raises:
        UserError: names the trainers that have it; or when there is no such trainer.
    """
    learners = read_members(trainer, settings).members if is_ensemble(trainer) else (trainer,)
    if any(_has(learner, option) for learner in learners):
        return
    who = f"every member of {trainer} ({', '.join(learners)})" if is_ensemble(trainer) else f"the trainer {trainer}"
    able = sorted(known for known in registry.known(registry.TRAINERS) if _has(known, option))
    raise UserError(
        f"--{option.replace('_', '-')}: {who} {LACKS[option]}; {', '.join(able)} {'does' if len(able) == 1 else 'do'}."
    )


def _has(trainer: str, option: str) -> bool:
    return option in trainer_class(trainer).Options.model_fields
