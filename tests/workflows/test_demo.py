"""The demo types real commands, keeps to its own folder, and stops where a step fails."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import typer

from autodiffseg import registry
from autodiffseg.cli import build_app, run
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.workflows.demo import DATASET, MARK, TRAINERS, steps


def pretend(arguments: list[str]) -> int:
    """Stand in for the commands: `phantom` writes one test case, `predict` answers with its reference."""
    if arguments[0] == "phantom":
        folder = Path(arguments[1]) / DATASET
        label = np.zeros((4, 5, 6), dtype=np.uint8)
        label[1:3, 1:4, 2:5] = 1
        grid = Geometry(shape=(4, 5, 6), spacing=(2, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
        write_image(folder / "imagesTs" / "a_0000.nii.gz", label, grid)
        write_image(folder / "labelsTs" / "a.nii.gz", label, grid)
        write_image(folder.parents[1] / "predictions" / "a.nii.gz", label, grid)
        (folder / "dataset.json").write_text(
            '{"channel_names": {"0": "MRI"}, "labels": {"background": 0, "core": 1}, "file_ending": ".nii.gz"}'
        )
    return 0


def test_every_step_is_an_announced_command(tmp_path: Path) -> None:
    names = [arguments[0] for arguments in steps(tmp_path, 7)]
    assert set(names) <= set(registry.known(registry.COMMANDS))
    assert names[-1] == "compare"
    assert [arguments for arguments in steps(tmp_path, 7) if "--iterations" in arguments and "7" not in arguments] == []


def parse(arguments: list[str]) -> dict[str, object]:
    """What a command would be called with; nothing runs. Raises for options, numbers and arguments that are wrong."""
    command = typer.main.get_command(build_app()).commands[arguments[0]]  # type: ignore[attr-defined]  # a group
    return dict(command.make_context(arguments[0], list(arguments[1:])).params)


def test_every_step_is_understood_by_its_command(tmp_path: Path) -> None:
    understood = {arguments[0]: parse(arguments) for arguments in steps(tmp_path, 7)}
    assert understood["train"]["iterations"] == 7
    assert understood["predict"]["out"] == understood["evaluate"]["predictions"] == tmp_path / "predictions"
    assert set(TRAINERS) <= set(registry.known(registry.TRAINERS))


@pytest.mark.parametrize("more", [["--no-such-option", "3"], ["--iterations", "many"], ["one-too-many"], ["--plan"]])
def test_a_step_that_its_command_does_not_understand_would_be_seen(tmp_path: Path, more: list[str]) -> None:
    train = next(arguments for arguments in steps(tmp_path, 7) if arguments[0] == "train")
    with pytest.raises(Exception) as raised:  # noqa: PT011  # which class depends on the release of Typer
        parse([*train, *more])
    assert getattr(raised.value, "exit_code", None) == 2


def test_the_steps_are_shown_as_typed_and_end_with_the_overlays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with patch("autodiffseg.cli.run", pretend):
        assert run(["demo", "--out", str(tmp_path / "demo")]) == 0
    told = capsys.readouterr().out
    assert f"$ autodiffseg compare Phantom --workspace {tmp_path / 'demo'}" in told
    assert str(tmp_path / "demo" / "overlays" / "a.png") in told
    assert (tmp_path / "demo" / "overlays" / "a.png").is_file()


def test_a_second_demo_replaces_the_first(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "old").touch()
    (tmp_path / MARK).touch()
    with patch("autodiffseg.cli.run", pretend):
        assert run(["demo", "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "results").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results").mkdir()
    assert run(["demo", "--out", str(tmp_path)]) == 2
    assert "--out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_the_demo_stops_at_the_step_that_fails(tmp_path: Path) -> None:
    with patch("autodiffseg.cli.run", return_value=2) as called:
        assert run(["demo", "--out", str(tmp_path / "demo")]) == 2
    assert called.call_count == 1
