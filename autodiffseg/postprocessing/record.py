"""Postprocessing: the rules of a model, and what they did to its cross-validation; postprocessing.json."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from autodiffseg.errors import UserError
from autodiffseg.labels import LabelSpec
from autodiffseg.postprocessing.rules import Rule, check_rules
from autodiffseg.records import Record

FILE = "postprocessing.json"

NOTE = (
    "Dice as in summary.json; mean is over classes. p is of Wilcoxon's two-sided test over cases (patients, where "
    "dataset.json has groups) of the mean over classes. It is not corrected for the number of rules that were tried, "
    "and comes from the cases that the rules were chosen on: it describes, and proves nothing."
)


class DiceFigures(Record):
    """Dice of a set of predictions; null where no case has the class."""

    mean: float | None
    """Mean over classes of `classes`."""
    classes: dict[str, float | None]
    """Class or region -> mean over cases."""


class Trial(Record):
    """One rule that was looked at, and what it did to the predictions as the rules before it had left them."""

    rule: Rule
    adopted: bool
    why: str
    """In words."""
    changed_cases: int
    """Cases whose Dice it changes."""
    before: DiceFigures
    after: DiceFigures
    p: float | None
    """Wilcoxon's two-sided p-value; null where there is no test."""


class Postprocessing(Record):
    """postprocessing.json: what is done to label maps, and why."""

    schema_version: Literal[1] = 1
    """Of this format."""
    labels: dict[str, int | tuple[int, ...]]
    """As in dataset.json."""
    regions_class_order: tuple[int, ...] | None = None
    """As in dataset.json."""
    rules: tuple[Rule, ...]
    """Applied in this order; empty: nothing helped."""
    cases: int = 0
    """Predictions that the rules were found on."""
    checkpoints: dict[str, tuple[str, ...]] = {}
    """Of a model's own: fold that they were found on -> hash of its last checkpoint then, of an ensemble's members'."""
    before: DiceFigures | None = None
    """Of these predictions as they were."""
    after: DiceFigures | None = None
    """With all rules applied."""
    p: float | None = None
    """Wilcoxon's two-sided p-value of `after` against `before`; null where there is no test."""
    tried: tuple[Trial, ...] = ()
    """Every rule that was looked at, in order."""
    note: str = ""
    """How to read the figures."""
    versions: dict[str, str] = {}
    """Of what found them."""

    @model_validator(mode="after")
    def _rules_fit(self) -> Self:
        try:
            check_rules(self.rules, self.spec, source="rules")
        except UserError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def spec(self) -> LabelSpec:
        """What the integers mean."""
        return LabelSpec(labels=self.labels, regions_class_order=self.regions_class_order)

    def require_labels(self, spec: LabelSpec, *, source: Path) -> None:
        """Refuse label maps of other classes than the rules are for.

        Args:
            spec: of the label maps.
            source: the file of the rules, for the message.

        Raises:
            UserError: when classes, regions, their integers or the order of painting differ.
        """
        if _show(self.spec) != _show(spec):
            raise UserError(
                f"{source} is for {_show(self.spec)}, the label maps have {_show(spec)}; find rules for these labels."
            )


def _show(spec: LabelSpec) -> str:
    foreground = ", ".join(f"{name} = {'+'.join(map(str, members))}" for name, members in spec.foreground.items())
    # What shows beneath a region depends on it.
    painted = ", ".join(map(str, spec.regions_class_order or ())) if spec.has_regions else ""
    return f"{foreground}, painted {painted}" if painted else foreground
