"""Tests of options that take several values."""

from typing import Annotated

import pytest
import typer

from autodiffseg.several_values import command_class, repeated, several_values


@pytest.mark.parametrize(
    ("line", "spread"),
    [
        ("JSRT --n 1 3 6", "JSRT --n 1 --n 3 --n 6"),
        ("--n 1 --n 3", "--n 1 --n 3"),
        ("--n 1 3 --seed 2 4 --n 6", "--n 1 --n 3 --seed 2 4 --n 6"),
        ("--n=1 3", "--n=1 3"),
        ("--n 1 1", "--n 1 --n 1"),
        ("--n", "--n"),
        ("", ""),
    ],
)
def test_every_value_gets_an_option_of_its_own(line: str, spread: str) -> None:
    assert repeated(line.split(), ("--n",)) == spread.split()


def test_only_a_marked_command_reads_so() -> None:
    @several_values("--n")
    def marked(name: str, n: Annotated[list[int] | None, typer.Option("--n")] = None) -> None:
        """Do nothing."""

    def plain(name: str, n: Annotated[list[int] | None, typer.Option("--n")] = None) -> None:
        """Do nothing."""

    found = {}
    for command in (marked, plain):
        app = typer.Typer()
        app.command(cls=command_class(command))(command)
        parser = typer.main.get_command(app)
        try:
            found[command.__name__] = parser.make_context("x", ["a", "--n", "1", "3"]).params["n"]
        except Exception as error:  # which class depends on the release of Typer
            found[command.__name__] = getattr(error, "exit_code", None)
    assert found == {"marked": [1, 3], "plain": 2}
