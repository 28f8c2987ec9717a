"""The console script: one Typer app whose commands announce themselves through entry points."""

from __future__ import annotations

import errno
import logging
import sys
from typing import Annotated

import typer

from autodiffseg import __version__, registry
from autodiffseg.errors import UserError
from autodiffseg.invocation import invoked_with
from autodiffseg.several_values import command_class

logger = logging.getLogger(__name__)

# The four commands that people use come first in --help, in the order of the work.
MAIN_PATH = ("plan-and-preprocess", "train", "predict", "compare")


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 done in part, 2 a mistake that the user can mend, 130 interrupted."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command; the exit code is returned. `--debug` may stand anywhere."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        # In standalone mode Typer shows mistakes in the call itself and exits with 2.
        with invoked_with(arguments):
            build_app()(args=arguments, prog_name="autodiffseg")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except Exception as error:
        told = _told(error)
        if debug or told is None:
            raise
        typer.echo(f"Error: {told}", err=True)
        return 2
    return 0


def build_app() -> typer.Typer:
    """The app with every announced command; the modules behind them import nothing heavy."""
    app = typer.Typer(
        name="autodiffseg",
        help="Self-configuring diffusion segmentation of medical images.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    points = registry.known(registry.COMMANDS)
    for name in sorted(points, key=lambda name: (MAIN_PATH.index(name) if name in MAIN_PATH else 99, name)):
        panel = "The main path" if name in MAIN_PATH else "More"
        try:
            command = points[name].load()
        except ImportError as error:  # a broken package that announces a command must not take the others along
            logger.warning("The command '%s' cannot be loaded: %s", name, error)
            continue
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panel)
        else:
            app.command(name, cls=command_class(command), rich_help_panel=panel)(command)
    return app


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"autodiffseg {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Self-configuring diffusion segmentation of medical images."""


def _told(error: Exception) -> str | None:
    """What went wrong and its cure, where the user can mend it; None for a fault of ours. Names no command's option."""
    if isinstance(error, UserError):
        return str(error)
    detail = " ".join(str(error).split())[:120]
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"{detail}; free some space there, or write to another disk."
        return f"{detail}; see that the path exists and may be read and written, or name another."
    if isinstance(error, MemoryError):
        return f"out of memory ({detail}); use fewer processes, or a plan with smaller patches."
    # torch's own errors are known by their names and words: importing torch for this would take seconds.
    if isinstance(error, RuntimeError):
        if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):
            return f"out of memory ({detail}); end other programs on the device, or use a plan with smaller patches."
        if "PytorchStreamWriter" in str(error) or "inline_container.cc" in str(error):  # its writer of files
            return f"a checkpoint could not be written ({detail}); is the disk full?"
    return None
