"""Whether a fold has been validated with the weights that its training ended with."""

from __future__ import annotations

from pathlib import Path

from autodiffseg.evaluation.summary import SUMMARY, Summary, load_summary
from autodiffseg.runs import VALIDATION, RunRecord


def is_validated(folder: Path, record: RunRecord) -> bool:
    """Whether a fold's folder holds scores of its last checkpoint as it is now.

    Raises:
        UserError: when the file of the scores cannot be read.
    """
    path = folder / VALIDATION / SUMMARY
    return path.is_file() and is_of_last(load_summary(path), record)


def is_of_last(summary: Summary, record: RunRecord) -> bool:
    """Whether scores are of the last checkpoint, or of those of an ensemble's members, and of all its updates."""
    return summary.notes.get("checkpoint") == "last" and summary.notes.get("updates") == record.iterations_done
