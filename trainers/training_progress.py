"""A training as the user watches it: bars while its data are prepared, what it will take, its loss and speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from autodiffseg.preprocessing.previous_stage import Watch
from autodiffseg.runs import RunRecord

from .forecast import Forecast
from .loop import Loop


def run_shown(loop: Loop, notes: Sequence[str], console: Console, *, workers: int) -> RunRecord:
    """Run a prepared loop to its end, after `notes`; its record.

    Raises:
        UserError: when the loss is not finite.
        KeyboardInterrupt: after a checkpoint, when the user asked to stop.
    """
    forecast = Forecast(loop)
    for note in (*notes, *forecast.lines()):
        console.print(note, soft_wrap=True, markup=False)
    columns = (
        TextColumn("Training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[news]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("train", total=loop.record.iterations, completed=loop.update, news="")

        def show(update: int, row: dict[str, float]) -> None:
            news = f"loss {row['loss']:.3f}, {row['updates_per_second']:.1f} updates/s" if row else ""
            progress.update(task, completed=update, news=news)
            forecast.after_update(update)

        return loop.run(workers=workers, on_update=show)


@contextmanager
def bar_when_needed(title: str, console: Console) -> Iterator[Watch]:
    """A progress bar that appears once it is told that there is something to prepare."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console)

    def watch(count: int) -> Callable[[], None]:
        progress.start()
        task = progress.add_task(title, total=count)
        return lambda: progress.advance(task)

    try:
        yield watch
    finally:
        if progress.live.is_started:
            progress.stop()
