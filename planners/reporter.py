"""Reporter: what planning tells on the terminal while it works: lines and progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Reporter:
    """Lines and progress bars on one console."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self.console = console
        self._told: set[str] = set()

    def tell(self, line: str) -> None:
        """Print a line; "" prints nothing."""
        if line:
            self.console.print(line, soft_wrap=True)

    def tell_once(self, line: str) -> None:
        """Print a line unless the same was told by this method before."""
        if line not in self._told:
            self._told.add(line)
            self.tell(line)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """A progress bar; yields what is called after each case. Nothing to do shows nothing."""
        if total == 0:
            yield lambda: None
            return
        columns = (TextColumn("{task.description:<25}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)
