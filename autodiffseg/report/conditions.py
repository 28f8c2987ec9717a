"""Conditions of a fair comparison: which hold between the compared runs, read from their records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autodiffseg.evaluation.comparison import Comparison
from autodiffseg.evaluation.seed_bootstrap import FEWEST_SEEDS
from autodiffseg.evaluation.statistics import FEWEST_PAIRS

Records = Mapping[str, list[dict[str, Any]]]
"""Entrant -> the records of its folds and trainings."""


@dataclass(frozen=True)
class Condition:
    """One condition, whether it holds, and the figures behind that."""

    what: str
    holds: bool | None
    """None when some row does not say."""
    detail: str

    @property
    def answer(self) -> str:
        """For the page."""
        return {True: "yes", False: "no", None: "unknown"}[self.holds]


def conditions(comparison: Comparison) -> Iterator[Condition]:
    """What a reviewer would ask first, in that order."""
    records = {
        entrant.name: [record for run in entrant.facts.get("runs", ()) for record in run["folds"].values()]
        for entrant in comparison.entrants
    }
    cases = len(comparison.cases)
    yield Condition("All rows are scored on the same cases", True, f"{cases} cases; anything else is refused")
    yield Condition(
        "Enough pairs for a test", comparison.units >= FEWEST_PAIRS, f"{comparison.units}; a test needs {FEWEST_PAIRS}"
    )
    yield _alike("Same plan", records, lambda record: f"{record['plan']} ({record['plan_hash']})")
    yield _alike("Same configuration", records, lambda record: record["configuration"])
    yield _alike("Same number of updates", records, lambda record: f"{record['iterations_done']:,}")
    yield _same_options(records)
    yield _alike("Same precision and machine", records, _machine)
    yield _alike("Same code", records, lambda record: record["git_revision"] or "no revision recorded")
    yield _alike("Same versions of the libraries", records, lambda record: json.dumps(record["versions"]), short=True)
    passes = {
        entrant.name: [str(number) for number in entrant.facts.get("numbers", {}).get("passes", [])]
        for entrant in comparison.entrants
    }
    yield _compared("Same number of network calls per patch in prediction", passes)
    best = [entrant.name for entrant in comparison.entrants if "best" in entrant.facts.get("checkpoints", ())]
    yield Condition(
        "No checkpoint was chosen on these cases",
        _answer(bool(best), records),
        (f"chosen on them: {', '.join(best)}" if best else "the last checkpoint of every run") + _not_known(records),
    )
    runs = [entrant for entrant in comparison.entrants if records[entrant.name]]
    few = [entrant.name for entrant in runs if len(entrant.trainings) < FEWEST_SEEDS]
    yield Condition(
        f"Every row was trained {FEWEST_SEEDS} times or more",
        _answer(bool(few), records),
        f"fewer: {', '.join(few)}. Training anew moves scores too, and no p-value here knows by how much"
        if few
        else "differences and intervals include the spread over trainings" + _not_known(records),
    )


def _alike(what: str, records: Records, read: Callable[[dict[str, Any]], str], *, short: bool = False) -> Condition:
    """Whether all records read alike; `short` leaves the values out."""
    values = {name: sorted({read(record) for record in rows}) for name, rows in records.items()}
    condition = _compared(what, values)
    if not short:
        return condition
    told = "see the runs below" if condition.holds is False else "all alike"
    return Condition(what, condition.holds, told + _not_known(values))


def _compared(what: str, values: Mapping[str, list[str]]) -> Condition:
    """Whether there is one value alone, in every fold and training of every entrant; one without any is unknown."""
    known = {name: ", ".join(found) for name, found in values.items() if found}
    different = len({value for found in values.values() for value in found}) > 1
    if different:
        told = "; ".join(f"{name}: {value}" for name, value in known.items())
    else:
        told = next(iter(known.values()), "nothing is recorded")
    return Condition(what, _answer(different, values), told + _not_known(values))


def _answer(different: bool, values: Mapping[str, object]) -> bool | None:
    """No where a difference is known, else unknown where a row does not say."""
    return False if different else None if not all(values.values()) else True


def _not_known(values: Mapping[str, object]) -> str:
    """The end of a sentence that names the rows which do not say."""
    silent = [name for name, value in values.items() if not value]
    return f"; not known of {', '.join(silent)}" if silent else ""


def _same_options(records: Records) -> Condition:
    """Whether the options that all runs have, such as learning rate and loss weights, are the same in all."""
    rows = [record["options"] for rows in records.values() for record in rows]
    shared = [key for key in (rows[0] if rows else {}) if all(key in options for options in rows)]
    different = [key for key in shared if len({json.dumps(options[key]) for options in rows}) > 1]
    told = f"different: {', '.join(different)}" if different else f"{len(shared)} options that all have"
    return Condition("Same training options", _answer(bool(different), records), told + _not_known(records))


def _machine(record: dict[str, Any]) -> str:
    return f"{record['device']} {record['precision']}, {record['hardware']}"
