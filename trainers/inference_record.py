"""inference.json: what find-best found, and the command that predicts with it."""

from __future__ import annotations

from autodiffseg.records import Record

FILE = "inference.json"


class CandidateRecord(Record):
    """A run, or a pair of runs, with its cross-validated scores."""

    runs: tuple[str, ...]
    """Folder names."""
    dice: float | None
    """Mean over cases (or groups) of the mean over foreground classes; null where no case has any, as below."""
    dice_low: float | None
    dice_high: float | None
    """Ends of the 95 % bootstrap interval of `dice`."""
    difference: float | None
    """Paired, to the best one."""
    difference_low: float | None
    difference_high: float | None
    """Ends of the 95 % bootstrap interval of `difference`."""
    standard_error: float | None
    """Of `difference`; null with fewer than two cases or groups."""
    operations: float | None
    """Floating-point operations of a prediction by one fold, mean over cases; null where they cannot be counted."""


class LackRecord(Record):
    """A fold that is missing."""

    run: str
    fold: str
    lacks: str
    command: str


class InferenceRecord(Record):
    """inference.json of a dataset."""

    schema_version: int = 1
    dataset: str
    cases: tuple[str, ...]
    """Those that all candidates have predicted without having been trained on them."""
    grouped: bool
    """Whether groups of cases were drawn and averaged, as dataset.json declares them."""
    candidates: tuple[CandidateRecord, ...]
    """The best first."""
    best: tuple[str, ...]
    """Runs of the highest mean."""
    cheaper: tuple[str, ...]
    """Runs of the cheapest candidate within one standard error of the best; empty where none is cheaper."""
    chosen: tuple[str, ...]
    """Those that the command names."""
    command: str
    missing: tuple[LackRecord, ...]
    version: str
    """Of autodiffseg."""
