"""The built wheel holds all four folders, and a user's own ./trainers neither hides nor replaces ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("autodiffseg", "planners", "trainers", "dataset_conversion")

pytestmark = pytest.mark.slow


def shell(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, without the network."""
    pytest.importorskip("setuptools", minversion="77")
    copy = tmp_path_factory.mktemp("sources")
    for top in TOPS:
        shutil.copytree(ROOT / top, copy / top, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    done = shell(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", ".", folder=copy)
    assert done.returncode == 0, done.stderr[-2000:]
    return next((copy / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as pip would lay it."""
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def test_the_wheel_holds_every_module_under_one_import_name(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert {name.rpartition("/")[0].replace("/", ".") for name in packed} == set(declared)
    assert len(packed) == sum(len(list((ROOT / top).rglob("*.py"))) for top in TOPS)
    others = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith(".py")}
    assert "autodiffseg/py.typed" in others
    templates = (ROOT / "autodiffseg" / "report" / "templates").iterdir()
    assert {f"autodiffseg/report/templates/{path.name}" for path in templates} <= others


def test_a_users_own_trainers_folder_does_not_shadow_ours(installed: Path, tmp_path: Path) -> None:
    for name in ("trainers", "planners"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package was imported')\n")
    # -S -E would hide the dependencies; the wheel stands first on the path instead, before the editable install.
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); sys.path.insert(0, '')\n"
        "import autodiffseg, autodiffseg.trainers.base as base, autodiffseg.planners\n"
        "from autodiffseg.cli import run\n"
        "print(autodiffseg.__file__, base.__file__)\n"
        "sys.exit(run(['train', '--help']))\n"
    )
    done = shell(sys.executable, "-c", code, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    places = done.stdout.splitlines()[0].split()
    assert all(place.startswith(str(installed)) for place in places)
