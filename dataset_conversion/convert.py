"""The command `convert`: one subcommand a converter."""

from __future__ import annotations

import typer

from . import msd

command = typer.Typer(help="Bring a public dataset into the raw layout.", no_args_is_help=True)
command.command("msd")(msd.command)


@command.callback()
def _group() -> None:
    """Bring a public dataset into the raw layout."""
