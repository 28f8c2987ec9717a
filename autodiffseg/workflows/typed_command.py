"""A command of ours, shown and run as a user would type it."""

from __future__ import annotations

import shlex

from rich.console import Console


def run_typed(arguments: list[str], console: Console) -> int:
    """Show a command line and run it in this process; its exit code."""
    from autodiffseg.cli import run

    console.print(f"\n$ autodiffseg {shlex.join(arguments)}", style="bold", markup=False, soft_wrap=True)
    return run(arguments)
