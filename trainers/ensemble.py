"""ensemble: several trainers by one name. It learns nothing itself; the probabilities of its members are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import Field, field_validator

from autodiffseg import registry
from autodiffseg.errors import UserError
from autodiffseg.records import Record

from .options import read_settings
from .run_request import RunRequest

OF_SOME = ("backbone", "timesteps", "from_scratch")
"""Settings that `train` has options for: they are given to those members that can be set so, and others do without."""


class EnsembleOptions(Record):
    """Which trainers; the defaults are the best row of the recycling paper (arXiv 2308.16355, Table 2).

    An ensemble of your own is a subclass with other defaults, announced in the group `autodiffseg.ensembles`.
    """

    members: tuple[str, ...] = Field(default=("supervised", "recycling"), min_length=2)
    """Names of trainers, in text with commas between them."""

    @field_validator("members", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value

    @field_validator("members")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each member is named once, all count alike")
        return value


class Ensemble(NamedTuple):
    """An ensemble as it was asked for: its own run and those of its members."""

    options: EnsembleOptions
    request: RunRequest
    """With a tag that names the members where they are not the usual ones."""
    members: tuple[RunRequest, ...]
    """An ordinary training each, of the same fold, tag and seed."""


def is_ensemble(name: str) -> bool:
    """Whether a name given as that of a trainer is an ensemble's."""
    return name in registry.known(registry.ENSEMBLES)


def read_members(trainer: str, settings: Sequence[str]) -> EnsembleOptions:
    """The members of the ensemble `trainer`, by the settings that are its own.

    Raises:
        UserError: when they are too few, or one is an ensemble itself.
    """
    own = [setting for setting in settings if _is_own(setting)]
    options: EnsembleOptions = read_settings(registry.load(registry.ENSEMBLES, trainer), own)
    for name in options.members:
        if is_ensemble(name):
            raise UserError(f"--set members: {name} is an ensemble itself; name trainers.")
    return options


def read_ensemble(request: RunRequest) -> Ensemble:
    """What is to be trained for an ensemble; settings other than `members` are the members'.

    Raises:
        UserError: when a member or a setting is unknown, or a setting is wrong for a member.
    """
    from .checkpoints import trainer_class

    options = read_members(request.trainer, request.settings)
    classes = {name: trainer_class(name).Options for name in options.members}
    reserved = {name for name in OF_SOME if any(name in each.model_fields for each in classes.values())}
    members = []
    for name, options_class in classes.items():
        others = reserved - options_class.model_fields.keys()
        settings = [each for each in request.settings if not _is_own(each) and _name(each) not in others]
        try:
            read_settings(options_class, settings)
        except UserError as error:
            raise UserError(f"Member {name}: {error}") from error
        members.append(replace(request, trainer=name, settings=settings))
    usual = registry.load(registry.ENSEMBLES, request.trainer)().members
    unusual = set(options.members) != set(usual)  # in another order they are the same
    names = "-".join(sorted(name.rpartition(":")[2] for name in options.members)) if unusual else ""
    tag = "-".join(part for part in (request.tag, names) if part)
    return Ensemble(options, replace(request, tag=tag), tuple(members))


def _is_own(setting: str) -> bool:
    """Whether a setting is the ensemble's, and not its members'."""
    return _name(setting) == "members"


def _name(setting: str) -> str:
    return setting.partition("=")[0]
