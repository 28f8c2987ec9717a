"""The command `analyse`: one subcommand a question about how a model samples."""

from __future__ import annotations

import typer

from . import analyse_sampling, analyse_seeds, analyse_steps

command = typer.Typer(help="How a trained model samples: over steps, seeds and samplers.", no_args_is_help=True)
command.command("steps")(analyse_steps.command)
command.command("seeds")(analyse_seeds.command)
command.command("sampling")(analyse_sampling.command)


@command.callback()
def _group() -> None:
    """How a trained model samples: over steps, seeds and samplers."""
