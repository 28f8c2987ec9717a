"""The explanation of a plan that was not made here: where it comes from and how it suits the dataset."""

from __future__ import annotations

from collections.abc import Iterator

from .summary import summarise
from .transferred_plan import Transferred


def explain_transfer(transferred: Transferred) -> str:
    """The text of `NAME_explained.md` as Markdown."""
    return "\n".join(_lines(transferred))


def _lines(transferred: Transferred) -> Iterator[str]:
    plan = transferred.plan
    yield f"# Plan `{plan.name}` of {plan.dataset}"
    yield ""
    yield f"Taken over from {transferred.origin}; no rule of planning was asked. Spacing, patch, batch, network,"
    yield "normalisation and intensity statistics are those of that plan. The median shape is that of this dataset's"
    yield "cases; the kind of its labels and their leakage curve are its own; mirroring leaves out the axis between"
    yield "left and right classes where there are any."
    yield ""
    yield "## Configurations"
    yield ""
    yield from (f"- `{name}`: {summarise(one)}" for name, one in plan.configurations.items())
    yield ""
    yield "## What to know"
    yield ""
    yield from (f"- {note}" for note in transferred.notes or ("Nothing of it is at odds with the dataset.",))
    yield ""
