"""Where the uncertainty of a folder of predictions lies: maps and records in `uncertainty/`, a table beside it."""

from __future__ import annotations

from pathlib import Path

FOLDER = "uncertainty"
TABLE = "uncertainty.csv"
TOTAL = "total"
PARTS = ("between_models", "between_samples", "residual")
"""Of the total, which they add up to."""
MAP_ENDING = ".nii.gz"
"""Whatever the images are: few other formats hold fractions and a place in the world."""


def map_file(predictions: Path, case: str, part: str) -> Path:
    """`uncertainty/CASE_PART.nii.gz`."""
    return predictions / FOLDER / f"{case}_{part}{MAP_ENDING}"


def record_file(predictions: Path, case: str) -> Path:
    """`uncertainty/CASE.json`: the case's row of the table."""
    return predictions / FOLDER / f"{case}.json"


def existing_maps(predictions: Path, case: str) -> dict[str, Path]:
    """Part -> file of the maps of a case that are there, the total first."""
    files = {part: map_file(predictions, case, part) for part in (TOTAL, *PARTS)}
    return {part: path for part, path in files.items() if path.is_file()}
