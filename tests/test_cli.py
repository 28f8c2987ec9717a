"""Every command explains itself, and a mistake of the user ends in one line."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import typer

from autodiffseg import __version__, registry
from autodiffseg.cli import MAIN_PATH, build_app, main, run
from autodiffseg.errors import UserError

COMMANDS = sorted(registry.known(registry.COMMANDS))


def leaves() -> list[tuple[str, ...]]:
    """Every command, and for a group of commands (`convert`) each of its members."""
    found: list[tuple[str, ...]] = []
    for name, command in typer.main.get_command(build_app()).commands.items():  # type: ignore[attr-defined]  # a group
        found += [(name, member) for member in getattr(command, "commands", [])] or [(name,)]
    return found


def failing(error: Exception) -> object:
    """A command that fails so."""

    def command() -> None:
        raise error

    return command


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize("command", leaves(), ids=" ".join)
def test_a_command_explains_itself_with_examples(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"\bExamples?\b", told)
    assert f"autodiffseg {' '.join(command)}" in told


@pytest.mark.parametrize("name", COMMANDS)
def test_every_announced_command_can_be_loaded(name: str) -> None:
    assert registry.load(registry.COMMANDS, name)


def test_a_command_that_cannot_be_loaded_does_not_take_the_others_along(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    broken = registry.EntryPoint("broken", "no_such_package:command", registry.COMMANDS)
    with patch("autodiffseg.registry.entry_points", return_value=[broken, *registry.known(registry.COMMANDS).values()]):
        assert run(["train", "--help"]) == 0
    assert "autodiffseg train" in capsys.readouterr().out
    assert "'broken' cannot be loaded" in caplog.text


def test_help_lists_every_command_and_the_main_path_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    found = {name: re.search(rf"│ {re.escape(name)}\s", told) for name in COMMANDS}
    starts = {name: place.start() for name, place in found.items() if place}
    assert set(starts) == set(COMMANDS)
    first = [starts[name] for name in MAIN_PATH]
    assert first == sorted(first)
    assert max(first) < min(start for name, start in starts.items() if name not in MAIN_PATH)


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"autodiffseg {__version__}\n"


def test_an_unknown_command_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tarin"]) == 2
    told = capsys.readouterr().err
    assert "tarin" in told
    assert "Traceback" not in told


def test_an_unknown_option_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--no-such-option"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_main_exits_with_the_code_of_the_command() -> None:
    with pytest.raises(SystemExit) as done:
        main(["tarin"])
    assert done.value.code == 2


def test_a_mistake_of_the_user_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with patch("importlib.metadata.EntryPoint.load", return_value=failing(UserError("plan.json is odd; mend it."))):
        assert run(["train"]) == 2
    assert capsys.readouterr() == ("", "Error: plan.json is odd; mend it.\n")


@pytest.mark.parametrize("arguments", [["--debug", "train"], ["train", "--debug"]])
def test_debug_shows_where_the_mistake_was_found(arguments: list[str]) -> None:
    broken = patch("importlib.metadata.EntryPoint.load", return_value=failing(UserError("odd")))
    with broken, pytest.raises(UserError, match="odd"):
        run(arguments)


CPU_MEMORY = "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried 9 bytes."


@pytest.mark.parametrize(
    ("error", "words", "cure"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/out"), "Permission denied: '/out'", "name another"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left", "free some space"),
        (MemoryError("Unable to allocate\n9 GiB"), "out of memory (Unable to allocate 9 GiB)", "fewer processes"),
        (OutOfMemoryError("CUDA out of memory."), "out of memory (CUDA out of memory.)", "smaller patches"),
        (RuntimeError(CPU_MEMORY), "alloc_cpu", "smaller patches"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0"), "checkpoint", "disk full"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 640 vs 534"), "checkpoint", "full"),
    ],
)
def test_what_the_machine_refuses_is_one_line_with_the_cure(
    error: Exception, words: str, cure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = patch("importlib.metadata.EntryPoint.load", return_value=failing(error))
    with command:
        assert run(["train"]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert cure in told
    assert told.count("\n") == 1
    assert "--" not in told  # not every command has the same options
    with command, pytest.raises(type(error)):
        run(["train", "--debug"])


def test_torchs_own_memory_error_is_known_by_its_name() -> None:
    assert torch.OutOfMemoryError.__name__ == OutOfMemoryError.__name__
    assert issubclass(torch.OutOfMemoryError, RuntimeError)


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    broken = patch("importlib.metadata.EntryPoint.load", return_value=failing(RuntimeError("odd")))
    with broken, pytest.raises(RuntimeError, match="odd"):
        run(["train"])


def test_a_workspace_that_cannot_be_made_is_one_line(
    phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    places = ["--workspace", str(tmp_path / "file" / "work")]
    assert run(["plan-and-preprocess", str(phantom_raw), "--preset", "cpu", "--num-processes", "1", *places]) == 2
    told = capsys.readouterr().err
    assert str(tmp_path / "file") in told
    assert told.count("\n") == 1


def test_a_dataset_that_does_not_exist_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("nnUNet_raw", raising=False)
    assert run(["plan-and-preprocess", "Dataset999_Nowhere", "--workspace", str(tmp_path / "work")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "Dataset999_Nowhere" in told
    assert "nnUNet_raw" in told
    assert list(tmp_path.iterdir()) == []


def test_a_name_announced_by_two_packages_is_refused() -> None:
    twice = [
        registry.EntryPoint("train", "one:command", registry.COMMANDS),
        registry.EntryPoint("train", "two:command", registry.COMMANDS),
    ]
    with (
        patch("autodiffseg.registry.entry_points", return_value=twice),
        pytest.raises(UserError, match="announced twice"),
    ):
        registry.known(registry.COMMANDS)
