"""Options of a training: every number that can be set with `--set name=value`, and how such settings are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar, get_args

from pydantic import Field, ValidationError, model_validator

from autodiffseg import registry
from autodiffseg.errors import UserError
from autodiffseg.records import Record

Options = TypeVar("Options", bound=Record)
HASHED_FILES = frozenset({"backbone"})
"""Options that name a file of which a run keeps the hash."""


class LearningOptions(Record):
    """What all trainings have in common: optimisation, and how often the loop looks up.

    The defaults are one for all trainers, so that a comparison compares trainers (docs/methods.md says how they were
    chosen).
    """

    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak of the schedule, AdamW's step."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """AdamW's decoupled decay."""
    warmup: int = Field(default=100, ge=0)
    """Updates over which the learning rate rises from zero; then it falls to zero along a cosine."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient; longer ones are scaled down to it."""
    augment: bool = True
    """Whether training patches are augmented."""
    validate_every: int = Field(default=500, ge=1)
    """Updates between two looks at validation patches; `best` is chosen by them."""
    validation_batches: int = Field(default=4, ge=1)
    """Batches of validation patches at each look: always the same ones."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Updates between two checkpoints."""


class TrainerOptions(LearningOptions):
    """What all segmentation trainers add: how much each loss counts."""

    dice_weight: float = Field(default=1.0, ge=0)
    """Of the Dice loss."""
    cross_entropy_weight: float = Field(default=1.0, ge=0)
    """Of the cross-entropy."""
    focal_weight: float = Field(default=0.0, ge=0)
    """Of the focal loss, with γ = 2."""
    mse_weight: float = Field(default=0.0, ge=0)
    """Of the squared error of the clean mask, scaled to [-1, 1]."""

    @model_validator(mode="after")
    def _something_is_minimised(self) -> Self:
        if not any(self.weights()):
            raise ValueError("all weights of the loss are 0; one of them must be above it")
        return self

    def weights(self) -> tuple[float, ...]:
        """Of all parts of the loss."""
        return self.dice_weight, self.cross_entropy_weight, self.focal_weight, self.mse_weight


def without_places(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by which trainings are compared: where a file lies is left out, for its hash tells which one it was."""
    return {name: value for name, value in options.items() if name not in HASHED_FILES}


def read_settings(options: type[Options], settings: Sequence[str]) -> Options:
    """Options from settings like `learning_rate=0.001`; what is not set keeps its default.

    The text `None` is None for an option that may be it.

    Raises:
        UserError: for a setting without `=`, an unknown name (with the nearest known one) or a wrong value.
    """
    values: dict[str, str | None] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: write name=value.")
        if name not in options.model_fields:
            raise UserError("--set: " + registry.unknown("option", name, list(options.model_fields)))
        may_be_none = type(None) in get_args(options.model_fields[name].annotation)
        values[name] = None if may_be_none and value == "None" else value
    try:
        return options.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # what contradicts is no single value
            raise UserError(f"--set: {first['msg'].removeprefix('Value error, ')}.") from error
        name = str(first["loc"][0])
        raise UserError(f"--set {name}={values[name]}: {first['msg']}.") from error


def as_settings(options: Options) -> tuple[str, ...]:
    """What differs from the defaults as the text that `read_settings` takes."""
    usual, found = type(options)().model_dump(mode="json"), options.model_dump(mode="json")
    return tuple(f"{name}={_as_text(value)}" for name, value in found.items() if value != usual[name])


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
