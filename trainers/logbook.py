"""Logbook: progress.csv and progress.png of a fold, and TensorBoard events when tensorboard is installed."""

from __future__ import annotations

import csv
import importlib.util
import io
import math
from pathlib import Path
from typing import Any

from autodiffseg.atomic import atomic_path, write_text
from autodiffseg.errors import UserError

COLUMNS = (
    "update",
    "loss",
    "dice_loss",
    "cross_entropy",
    "learning_rate",
    "gradient_norm",
    "updates_per_second",
    "data_wait_share",
    "validation_patch_dice",
)


class Logbook:
    """One row of numbers for each look at the training; the file is whole after every row."""

    def __init__(self, folder: Path, *, resume_at: int) -> None:
        """Keep the rows of earlier sittings up to update `resume_at`; later ones will be trained again."""
        self.folder = folder
        self.rows = [row for row in _read(folder / "progress.csv") if row["update"] <= resume_at]
        self._events = _event_writer(folder)

    def add(self, row: dict[str, float]) -> None:
        """Append a row and rewrite the CSV; the picture is redrawn with rows that have a validation Dice."""
        self.rows.append(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _short(value) for name, value in row.items()} for row in self.rows)
        write_text(self.folder / "progress.csv", text.getvalue())
        if self._events is not None:
            for name, value in row.items():
                if name != "update" and math.isfinite(value):
                    self._events.add_scalar(name, value, int(row["update"]))
            self._events.flush()
        if math.isfinite(row["validation_patch_dice"]):
            draw_progress(self.rows, self.folder / "progress.png")


def draw_progress(rows: list[dict[str, float]], path: Path) -> None:
    """Loss, patch Dice, learning rate and speed over the updates, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    loss, dice, rate, speed = figure.subplots(2, 2, sharex=True).flat
    updates = [row["update"] for row in rows]

    def draw(axes: Any, name: str, label: str, colour: str) -> None:
        points = [(u, row[name]) for u, row in zip(updates, rows, strict=True) if math.isfinite(row[name])]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, label=label, marker="." if len(points) < 60 else None)

    draw(loss, "loss", "total", "C0")
    draw(loss, "dice_loss", "Dice", "C1")
    draw(loss, "cross_entropy", "cross-entropy", "C2")
    draw(dice, "validation_patch_dice", "validation patches", "C3")
    draw(rate, "learning_rate", "learning rate", "C4")
    draw(speed, "updates_per_second", "updates per second", "C5")
    for axes, title in (
        (loss, "Training loss"),
        (dice, "Dice on validation patches"),
        (rate, "Learning rate"),
        (speed, "Updates per second"),
    ):
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
    for axes in (rate, speed):
        axes.set_xlabel("update")
    if rows:
        loss.legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _read(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{name: float(row[name]) for name in COLUMNS} for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it to go on without its rows.") from error


def _short(value: float) -> str:
    return f"{value:.6g}"


def _event_writer(folder: Path) -> Any:
    """A TensorBoard writer, or None without tensorboard."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"))
