"""CaseUncertainty: the figures of one case, and the table of all of them, uncertainty.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from autodiffseg.atomic import write_text
from autodiffseg.errors import UserError
from autodiffseg.records import Record
from autodiffseg.uncertainty.map_files import FOLDER, PARTS, TABLE, TOTAL

ENTROPIES = (TOTAL, *PARTS)


class ClassUncertainty(Record):
    """How large a class or region is, and how sure that is; volumes in the unit of the case."""

    volume: float
    """Of the answer."""
    smallest_sample: float | None = None
    """Of the samples; null where there is one sample alone."""
    largest_sample: float | None = None
    low: float | None = None
    """The 90 % conformal interval; null where there is none."""
    high: float | None = None
    """Null beside a `low`: nothing bounds it."""
    dice_between_samples: float | None = None
    """Mean over pairs of samples; null where no pair has any of it."""


class CaseUncertainty(Record):
    """uncertainty/CASE.json: one row of uncertainty.csv."""

    schema_version: int = 1
    case: str
    models: int
    """Folds and trainers that were averaged."""
    samples: int
    """Draws of each."""
    band_voxels: int
    """Voxels within three voxels of the foreground of the answer or of any sample."""
    entropy_band: dict[str, float] | None
    """Mean over the band of the total and of its parts, nats a voxel; null where there is no foreground."""
    entropy_image: dict[str, float]
    """Mean over all voxels."""
    unit: str
    """Of volumes: ml, or mm2 where images are 2D."""
    classes: dict[str, ClassUncertainty]
    """By class or region."""
    interval: str
    """What the 90 % intervals were calibrated with, or why there are none."""


def write_table(predictions: Path) -> Path | None:
    """Write uncertainty.csv of all cases that have a record, atomically; without any, remove it.

    Returns:
        The table; None where there is none.

    Raises:
        UserError: when a record cannot be read or the table not be written.
    """
    records = [CaseUncertainty.load(path) for path in sorted((predictions / FOLDER).glob("*.json"))]
    path = predictions / TABLE
    try:
        if not records:
            path.unlink(missing_ok=True)
            return None
        write_text(path, table_text(records))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}.") from error
    return path


def table_text(records: Sequence[CaseUncertainty]) -> str:
    """One row a case; a blank is a value that does not exist."""
    header = ["case", "models", "samples"]
    header += [f"entropy_{part}_{area}" for area in ("band", "image") for part in ENTROPIES]
    unit = records[0].unit
    size = f"volume_{unit}" if unit == "ml" else f"area_{unit}"
    columns = (
        size,
        f"{size}_min_over_samples",
        f"{size}_max_over_samples",
        f"{size}_90_low",
        f"{size}_90_high",
        "dice_between_samples",
    )
    names = list(records[0].classes)
    header += [f"{name}_{column}" for name in names for column in columns]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*header, "interval"])
    for record in records:
        entropies = [area.get(part) if area else None for area in _areas(record) for part in ENTROPIES]
        classes = [cell for name in names for cell in _cells(record.classes.get(name))]
        cells = [record.case, record.models, record.samples, *entropies, *classes, record.interval]
        writer.writerow(map(_text, cells))
    return text.getvalue()


def _text(cell: float | str | None) -> str:
    if cell is None:
        return ""
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def _areas(record: CaseUncertainty) -> tuple[dict[str, float] | None, ...]:
    return record.entropy_band, record.entropy_image


def _cells(found: ClassUncertainty | None) -> tuple[float | str | None, ...]:
    if found is None:
        return (None,) * 6
    high = "inf" if found.high is None and found.low is not None else found.high
    return found.volume, found.smallest_sample, found.largest_sample, found.low, high, found.dice_between_samples
