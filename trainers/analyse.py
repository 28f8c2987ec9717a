"""The command `analyse`: one subcommand a question about how models sample, and what they make of few labels."""

from __future__ import annotations

import typer

from autodiffseg.several_values import command_class

from . import analyse_labels, analyse_sampling, analyse_seeds, analyse_steps, analyse_timesteps

command = typer.Typer(help="How a trained model samples, and what models make of few labels.", no_args_is_help=True)
command.command("steps")(analyse_steps.command)
command.command("seeds")(analyse_seeds.command)
command.command("sampling")(analyse_sampling.command)
command.command("timesteps")(analyse_timesteps.command)
command.command("labels", cls=command_class(analyse_labels.command))(analyse_labels.command)


@command.callback()
def _group() -> None:
    """How a trained model samples, and what models make of few labels."""
