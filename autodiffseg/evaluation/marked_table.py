"""MarkedTable: a table of texts, some bold or underlined, for the terminal, Markdown and LaTeX."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "Δ": r"$\Delta$", "–": "--", "<": "$<$",
    ">": "$>$", "α": r"$\alpha$", "×": r"$\times$",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A text and how it stands out."""

    text: str
    bold: bool = False
    underlined: bool = False


@dataclass(frozen=True)
class MarkedTable:
    """A table whose first columns are names and whose others are figures."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    names: int = 1
    """How many of the first columns are names: they stand left."""

    def terminal(self) -> Table:
        """For the terminal."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(self.title), title_justify="left")
        for index, name in enumerate(self.header):
            # Text, since Rich would take the [mm] of a plain string for a style and swallow it.
            table.add_column(Text(name), justify="left" if index < self.names else "right")
        for row in self.rows:
            styles = [" ".join(["bold"] * cell.bold + ["underline"] * cell.underlined) for cell in row]
            table.add_row(*(Text(cell.text, style) for cell, style in zip(row, styles, strict=True)))
        return table

    def markdown(self) -> str:
        """With its title as a heading."""
        lines = [[name.replace("|", "\\|") for name in self.header]]
        lines.append(["---"] * self.names + ["---:"] * (len(self.header) - self.names))
        lines += [[_markdown(cell) for cell in row] for row in self.rows]
        return f"## {self.title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"

    def latex(self) -> str:
        """A floating table with the rules of the package booktabs."""
        columns = "l" * self.names + "r" * (len(self.header) - self.names)
        lines = [" & ".join(map(_latex, self.header)) + r" \\", r"\midrule"]
        lines += [" & ".join(_marked_latex(cell) for cell in row) + r" \\" for row in self.rows]
        body = "\n".join(lines)
        return (
            f"\\begin{{table}}\n\\centering\n\\caption{{{_latex(self.title)}}}\n\\begin{{tabular}}{{{columns}}}\n"
            f"\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
        )


def _markdown(cell: Cell) -> str:
    text = cell.text.replace("|", "\\|")
    text = f"<u>{text}</u>" if cell.underlined else text
    return f"**{text}**" if cell.bold else text


def _latex(text: str) -> str:
    return re.sub("|".join(map(re.escape, LATEX)), lambda found: LATEX[found[0]], text)


def _marked_latex(cell: Cell) -> str:
    text = _latex(cell.text)
    text = f"\\underline{{{text}}}" if cell.underlined else text
    return f"\\textbf{{{text}}}" if cell.bold else text
