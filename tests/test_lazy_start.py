"""`autodiffseg --help` answers at once: nothing heavy is imported before a command runs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

HEAVY = {"torch", "SimpleITK", "scipy", "skimage", "matplotlib", "pandas", "blosc2", "batchgenerators", "acvl_utils"}


def imported_by(*arguments: str) -> set[str]:
    """Top-level packages that a fresh interpreter imports while it runs the console script."""
    command = [sys.executable, "-X", "importtime", "-m", "autodiffseg", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    names = re.findall(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", done.stderr, flags=re.MULTILINE)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("--version",)])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    imported = imported_by(*arguments)
    assert "typer" in imported  # the table was read
    assert imported & HEAVY == set()


def test_the_reader_of_the_import_table_sees_a_heavy_import() -> None:
    command = [sys.executable, "-X", "importtime", "-c", "import scipy"]
    table = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stderr
    assert re.search(r"\|\s+scipy$", table, flags=re.MULTILINE)
