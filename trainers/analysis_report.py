"""What an analysis hands over: its table in the terminal, and Markdown, CSV and a picture in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autodiffseg.atomic import write_text
from autodiffseg.errors import UserError
from autodiffseg.evaluation.curve_plot import Panel, save_curves
from autodiffseg.evaluation.marked_table import MarkedTable
from autodiffseg.evaluation.report_table import ReportTable

from .analysis_source import AnalysisSource

console = Console(highlight=False)


def report(
    folder: Path,
    name: str,
    table: ReportTable,
    cases: str,
    *,
    panels: Mapping[str, Panel],
    positions: tuple[int, ...],
    xlabel: str,
    logarithmic: bool = False,
    shown: Sequence[MarkedTable] = (),
) -> None:
    """Print a table and write NAME.md, NAME.csv, NAME_cases.csv and NAME.png.

    A table that is too wide for a terminal is printed as those of `shown`.

    Raises:
        UserError: when the folder cannot be written to.
    """
    texts = {f"{name}.md": table.markdown(), f"{name}.csv": table.csv(), f"{name}_cases.csv": cases}
    try:
        for file, text in texts.items():
            write_text(folder / file, text)
        picture = folder / f"{name}.png"
        save_curves(picture, positions, panels, title=table.title, xlabel=xlabel, logarithmic=logarithmic)
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error}); name another folder with --output.") from error
    for one in shown or (table,):
        console.print(one.terminal())
    for note in table.notes:
        console.print(f"- {note}", soft_wrap=True, markup=False)
    written = ", ".join(str(folder / file) for file in (*texts, f"{name}.png"))
    console.print(f"Written: {written}", soft_wrap=True, markup=False)


@contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar over predictions; it hands out what is to be called after each."""
    columns = (TextColumn("Predicting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("predict", total=total)
        yield lambda: bar.advance(task)


def notes(source: AnalysisSource, *, sampling: str) -> tuple[str, ...]:
    """Which weights the numbers come from, and after `sampling` in words how they were sampled."""
    request = source.request
    folds = ", ".join(fold.name for fold in source.folds)
    told = [
        f"Model: {source.model.name}, fold {folds}, {request.checkpoint} checkpoint, "
        f"{'with' if request.mirroring else 'without'} mirroring. {sampling}"
    ]
    if request.checkpoint == "best":
        told.append("The best checkpoint was chosen on these very cases.")
    if request.cases is not None:
        told.append(f"Of each fold only the first {request.cases} of its validation cases, as --cases asks.")
    return tuple(told)
