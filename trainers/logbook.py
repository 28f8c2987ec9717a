"""Logbook: progress.csv and progress.png of a fold, and TensorBoard events when tensorboard is installed."""

from __future__ import annotations

import csv
import importlib.util
import io
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodiffseg.atomic import atomic_path, write_text
from autodiffseg.errors import UserError

FIRST = ("update", "loss")
LAST = ("learning_rate", "gradient_norm", "updates_per_second", "data_wait_share")
"""Columns of every training, before and after the parts of its loss; what its looks found comes last."""


class Logbook:
    """One row of numbers for each look at the training; the file is whole after every row."""

    def __init__(self, folder: Path, *, looks: Mapping[str, str], resume_at: int) -> None:
        """Keep the rows of earlier sittings up to update `resume_at`; later ones will be trained again.

        Args:
            folder: of the run.
            looks: columns that looks at validation patches fill, and their titles in the picture.
            resume_at: updates that have been made.
        """
        self.folder = folder
        self.looks = looks
        self.rows = [row for row in _read(folder / "progress.csv") if row["update"] <= resume_at]
        self._events = _event_writer(folder)

    @property
    def parts(self) -> tuple[str, ...]:
        """Columns of the loss's parts: all that no other training needs to have."""
        others = {*FIRST, *LAST, *self.looks}
        return tuple(name for name in dict.fromkeys(name for row in self.rows for name in row) if name not in others)

    def add(self, row: dict[str, float]) -> None:
        """Append a row and rewrite the CSV; the picture is redrawn with rows that hold what a look found."""
        self.rows.append(row)
        text = io.StringIO()
        columns = (*FIRST, *self.parts, *LAST, *self.looks)
        writer = csv.DictWriter(text, columns, restval="nan", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _short(value) for name, value in row.items()} for row in self.rows)
        write_text(self.folder / "progress.csv", text.getvalue())
        if self._events is not None:
            for name, value in row.items():
                if name != "update" and math.isfinite(value):
                    self._events.add_scalar(name, value, int(row["update"]))
            self._events.flush()
        if any(math.isfinite(row[name]) for name in self.looks):
            self.draw(self.folder / "progress.png")

    def draw(self, path: Path) -> None:
        """Loss, looks, learning rate and speed over the updates, as a PNG."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 6), layout="constrained")
        panels = (
            ("Training loss", {"loss": "total", **{name: _words(name) for name in self.parts}}),
            (next(iter(self.looks.values())), {name: _words(name) for name in self.looks}),
            ("Learning rate", {"learning_rate": ""}),
            ("Updates per second", {"updates_per_second": ""}),
        )
        colours = (f"C{number}" for number in itertools.count())
        for axes, (title, columns) in zip(figure.subplots(2, 2, sharex=True).flat, panels, strict=True):
            for name, label in columns.items():
                points = [(row["update"], row[name]) for row in self.rows if math.isfinite(row.get(name, math.nan))]
                marker = "." if len(points) < 60 else None
                if points:
                    axes.plot(*zip(*points, strict=True), color=next(colours), label=label, marker=marker)
            axes.set_title(title, fontsize=10)
            axes.grid(alpha=0.3)
            if len(columns) > 1:
                axes.legend(fontsize=8)
        for axes in figure.axes[2:]:
            axes.set_xlabel("update")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=100)


def _read(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        if any(not {*FIRST, *LAST} <= {*row} for row in rows):
            raise ValueError("a column is missing")
        return rows
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it to go on without its rows.") from error


def _words(name: str) -> str:
    return name.replace("_", " ")


def _short(value: float) -> str:
    return f"{value:.6g}"


def _event_writer(folder: Path) -> Any:
    """A TensorBoard writer, or None without tensorboard."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"))
