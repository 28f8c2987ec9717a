"""ReportTable: one table of names and numbers, for the terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

Cell = float | int | str


@dataclass(frozen=True)
class ReportTable:
    """A table; a float is shown with the digits of its column and written to CSV in full."""

    title: str
    header: tuple[str, ...]
    digits: tuple[int, ...]
    """After the point, per column."""
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    """What a reader must know, in sentences."""

    def terminal(self) -> Table:
        """For the terminal, without the notes."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=self.title, title_justify="left")
        for name in self.header:
            table.add_column(Text(name), justify="right")  # Text: of a plain string Rich would swallow the [mm]
        for row in self.texts():
            table.add_row(*map(Text, row))
        return table

    def markdown(self) -> str:
        """Title, table and notes."""
        lines = [self.header, ("---:",) * len(self.header), *self.texts()]
        table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return f"# {self.title}\n\n{table}\n\n" + "\n".join(f"- {note}" for note in self.notes) + "\n"

    def csv(self) -> str:
        """Header and rows; what has no value is blank."""
        rows = [["" if _missing(cell) else cell for cell in row] for row in self.rows]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.header, *rows])
        return text.getvalue()

    def texts(self) -> Iterator[tuple[str, ...]]:
        """The rows as they are shown."""
        for row in self.rows:
            yield tuple(_text(cell, digits) for cell, digits in zip(row, self.digits, strict=True))


def _text(cell: Cell, digits: int) -> str:
    if _missing(cell):
        return "–"
    return f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell)


def _missing(cell: Cell) -> bool:
    return isinstance(cell, float) and math.isnan(cell)
