"""What `import autodiffseg` offers, and that it costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import autodiffseg


def test_every_public_name_resolves() -> None:
    for name in getattr(autodiffseg, "__all__", ["__version__"]):
        assert getattr(autodiffseg, name) is not None


def test_importing_the_package_imports_no_torch() -> None:
    code = "import autodiffseg, sys; print(sorted({'torch', 'SimpleITK', 'scipy', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(autodiffseg, "no_such_name")
