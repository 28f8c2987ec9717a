"""The star rule, kept by reading the sources: wings stand on the ground and know nothing of each other."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUND = "autodiffseg"
WINGS = ("planners", "trainers", "dataset_conversion")


def folders_with_code() -> set[str]:
    """Every folder that holds an `__init__.py`, spelled as an import name."""
    found = set()
    for top in (GROUND, *WINGS):
        for init in (ROOT / top).rglob("__init__.py"):
            name = ".".join(init.parent.relative_to(ROOT).parts)
            found.add(name if top == GROUND else f"{GROUND}.{name}")
    return found


def sources() -> list[Path]:
    return sorted(path for top in (GROUND, *WINGS) for path in (ROOT / top).rglob("*.py"))


def faults(source: str, parts: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with the imports of a module that lies at `parts`, such as ("trainers", "base.py")."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            if node.level >= len(parts):
                yield f"line {node.lineno}: the relative import climbs out of {parts[0]}/"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for name in imported_names(node):
                first, _, rest = name.partition(".")
                wing = rest.partition(".")[0]
                if first in WINGS:
                    yield f"line {node.lineno}: '{name}' is a bare import; say {GROUND}.{name} or import relatively"
                elif first == GROUND and wing in WINGS and wing != parts[0]:
                    yield f"line {node.lineno}: {parts[0]}/ imports '{name}', which is another wing"


def imported_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Absolute names; `from autodiffseg import trainers` names autodiffseg.trainers."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def test_the_packages_of_pyproject_are_the_folders_with_code() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert len(declared) == len(set(declared))
    assert set(declared) == folders_with_code()


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_imports_of_a_module_keep_the_star_rule(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"), path.relative_to(ROOT).parts)) == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_begins_by_saying_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("from trainers.base import Trainer", ("planners", "x.py")),
        ("import planners", ("planners", "x.py")),
        ("from autodiffseg.planners.x import y", ("trainers", "x.py")),
        ("import autodiffseg.planners.x", ("trainers", "x.py")),
        ("from autodiffseg import trainers", ("autodiffseg", "cli.py")),
        ("def f():\n    import autodiffseg.trainers", ("autodiffseg", "networks", "unet.py")),
        ("from ..planners import x", ("trainers", "base.py")),
    ],
)
def test_the_guard_sees_each_kind_of_breach(source: str, parts: tuple[str, ...]) -> None:
    assert list(faults(source, parts))


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("from .base import Trainer", ("trainers", "x.py")),
        ("from ..base import Trainer", ("trainers", "variants", "x.py")),
        ("from autodiffseg.plans import Plan", ("planners", "x.py")),
        ("from autodiffseg.trainers.base import Trainer", ("trainers", "x.py")),
    ],
)
def test_the_guard_lets_the_legal_imports_pass(source: str, parts: tuple[str, ...]) -> None:
    assert list(faults(source, parts)) == []
