"""What `import autodiffseg` offers, and that it costs nothing until it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import autodiffseg

CLASSES = [name for name in autodiffseg.__all__ if name != "__version__"]
HEAVY = {"torch", "SimpleITK", "scipy", "numpy", "pydantic", "blosc2", "typer"}


def printed_by(code: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.strip()


def test_the_public_names_are_these() -> None:
    assert set(CLASSES) == {
        "CasePredictor", "Fingerprint", "LabelSpec", "Plan", "Predictor", "RawDataset", "Sampling", "UNet", "UserError",
        "Workspace",
    }  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_a_public_name_is_the_class_of_its_ground_module(name: str) -> None:
    found = getattr(autodiffseg, name)
    assert isinstance(found, type)
    assert found.__name__ == name
    assert getattr(sys.modules[found.__module__], name) is found
    assert found.__module__.partition(".")[2].partition(".")[0] not in ("planners", "trainers", "dataset_conversion")


def test_type_checkers_see_the_names_that_are_imported_late() -> None:
    tree = ast.parse(Path(autodiffseg.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {node.names[0].name: node.module for node in block.body if isinstance(node, ast.ImportFrom)}
    assert seen == {name: getattr(autodiffseg, name).__module__ for name in CLASSES}


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert printed_by(f"import autodiffseg, sys; dir(autodiffseg); print(sorted({HEAVY} & set(sys.modules)))") == "[]"


def test_a_name_brings_no_more_than_its_own_module() -> None:
    code = "from autodiffseg import UserError, Plan; import sys; print('torch' in sys.modules, Plan.__module__)"
    assert printed_by(code) == "False autodiffseg.plans"


def test_the_names_are_listed_before_they_are_imported() -> None:
    code = "import autodiffseg; print(set(autodiffseg.__all__) <= set(dir(autodiffseg)), 'Plan' in vars(autodiffseg))"
    assert printed_by(code) == "True False"


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        autodiffseg.no_such_name  # noqa: B018
