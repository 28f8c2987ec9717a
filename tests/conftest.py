"""What all tests share: bounded threads, plain terminal text, the real data, and a small planned dataset."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before anything reads it; worker processes inherit it

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

# Shared machines are slow at times, and a failure must come back when the test is run again.
settings.register_profile("autodiffseg", deadline=None, derandomize=True, database=None)
settings.load_profile("autodiffseg")

REAL_DATA = "AUTODIFFSEG_TEST_DATA"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, and say what is missing."""
    no_gpu = pytest.mark.skip(reason="needs a CUDA device")
    no_data = pytest.mark.skip(reason=f"needs the real datasets; set {REAL_DATA} to their folder")
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(no_gpu)
        if item.get_closest_marker("real") and not os.environ.get(REAL_DATA):
            item.add_marker(no_data)


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Help texts and tables as wide as they like, without colours."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real datasets."""
    folder = os.environ.get(REAL_DATA)
    if not folder:
        pytest.skip(f"needs the real datasets; set {REAL_DATA} to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def phantom_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw dataset of six training and two test cases of 24 x 32 x 24 voxels; tests must not change it."""
    from autodiffseg.dataset_conversion.phantom import write_phantom

    return write_phantom(tmp_path_factory.mktemp("raw"), cases=6, test_cases=2, shape=(24, 32, 24))


@pytest.fixture(scope="session")
def planned_phantom(phantom_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the phantom is planned (plan `cpu`) and preprocessed; tests that write copy it first."""
    from autodiffseg.cli import run

    workspace = tmp_path_factory.mktemp("workspace")
    arguments = ["plan-and-preprocess", str(phantom_raw), "--preset", "cpu", "--num-processes", "1"]
    assert run([*arguments, "--workspace", str(workspace)]) == 0
    return workspace


@pytest.fixture(scope="session")
def planned_cascade(planned_phantom: Path, phantom_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the phantom's plan `cpu` has a cascade too; tests that write copy it first."""
    from autodiffseg.dataset import RawDataset
    from autodiffseg.plans import Plan
    from autodiffseg.preprocessing.run import preprocess_dataset
    from autodiffseg.workspace import Workspace

    workspace = tmp_path_factory.mktemp("cascade")
    shutil.copytree(planned_phantom, workspace, dirs_exist_ok=True)
    place = Workspace(workspace)
    path = place.plan_path("Dataset900_Phantom", "cpu")
    content = json.loads(path.read_text())
    fine = content["configurations"]["3d_fullres"]
    halved = {"spacing": [2.4, 2, 2], "median_shape": [12, 16, 12], "patch_size": [12, 16, 12]}
    content["configurations"]["3d_lowres"] = {**fine, **halved}
    content["configurations"]["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    plan = Plan.parse(json.dumps(content), source=str(path))
    plan.save(path)
    store = place.preprocessed("Dataset900_Phantom") / plan.data_id("3d_lowres")
    preprocess_dataset(RawDataset(phantom_raw), plan, "3d_lowres", store, processes=1)
    return workspace


@pytest.fixture(scope="session")
def trained_phantom(planned_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with `supervised` and `recycling` trained for four updates on fold 0; tests must not change it."""
    from autodiffseg.cli import run

    workspace = tmp_path_factory.mktemp("trained")
    shutil.copytree(planned_phantom, workspace, dirs_exist_ok=True)
    for trainer in ("supervised", "recycling"):
        arguments = ["train", "Phantom", "3d_fullres", "0", "--trainer", trainer, "--iterations", "4"]
        places = ["--device", "cpu", "--precision", "fp32", "--num-workers", "0", "--workspace", str(workspace)]
        assert run([*arguments, *places, "--set", "validation_batches=1"]) == 0
    return workspace
