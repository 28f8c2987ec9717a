"""What the records of the compared runs say of how they were made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from autodiffseg.evaluation.comparison import Comparison


@dataclass(frozen=True)
class RunFacts:
    """One fold of a run."""

    title: str
    facts: tuple[tuple[str, str], ...]
    """What -> value, in the order of reading."""


def run_facts(comparison: Comparison) -> Iterator[RunFacts]:
    """Command, revision, versions and options of every fold of every training; external rows have none."""
    for entrant in comparison.entrants:
        sampling = entrant.facts.get("sampling")
        for run in entrant.facts.get("runs", ()):
            for fold, record in run["folds"].items():
                facts = {
                    "Command": record["command"],
                    "Folder": run["folder"],
                    "Updates": f"{record['iterations_done']:,} of {record['iterations']:,}",
                    "Seed": str(record["seed"]),
                    "Labelled": _labelled(record),
                    "Backbone": record["backbone"][:16] + " (transductive)" * record["transductive"],
                    "Members": ", ".join(record["members"]),
                    "Sampling": _pairs(sampling) if isinstance(sampling, dict) else str(sampling or ""),
                    "Options": _pairs(record["options"]),
                    "Plan": f"{record['plan']} ({record['plan_hash']})",
                    "Machine": f"{record['hardware']}; {record['device']} {record['precision']}",
                    "Versions": _pairs(record["versions"]),
                    "Git revision": record["git_revision"],
                }
                shown = tuple((name, value) for name, value in facts.items() if value)
                yield RunFacts(f"{entrant.name}, seed {record['seed']}, fold {fold}", shown)


def _labelled(record: dict[str, Any]) -> str:
    """Of a few-label run: how many training cases it kept, or groups of them."""
    count = record["n_labelled"]
    return "" if count is None else f"{count} of the training cases, label seed {record['label_seed']}"


def _pairs(values: dict[str, object]) -> str:
    return ", ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value, default=str)}"
        for name, value in values.items()
    )
