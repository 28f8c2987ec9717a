"""A model gets its postprocessing when the last of its folds has been validated, and not before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from autodiffseg.checkpoint_file import checkpoint_id
from autodiffseg.cli import run
from autodiffseg.folds import load_folds
from autodiffseg.postprocessing.record import Postprocessing
from autodiffseg.workspace import Workspace

DATASET = "Dataset900_Phantom"


@pytest.fixture(scope="module")
def all_but_the_last(trained_phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which `supervised` has a network for every fold, and all but the last are validated."""
    workspace = tmp_path_factory.mktemp("folds")
    shutil.copytree(trained_phantom, workspace, dirs_exist_ok=True)
    model = model_of(workspace)
    for number, fold in enumerate(load_folds(Workspace(workspace).splits_path(DATASET))):
        folder = model / f"fold_{number}"
        if number:
            shutil.copytree(model / "fold_0", folder, ignore=shutil.ignore_patterns("validation"))
        record = json.loads((folder / "run.json").read_text())
        record |= {"fold": str(number), "training_cases": fold.train, "validation_cases": fold.val}
        (folder / "run.json").write_text(json.dumps(record))
        if 0 < number < 4:
            assert validate(workspace, str(number)) == 0
    return workspace


def model_of(workspace: Path) -> Path:
    return next(workspace.glob(f"results/{DATASET}/supervised*"))


def validate(workspace: Path, fold: str, *more: str) -> int:
    place = ["--trainer", "supervised", "--device", "cpu", "--precision", "fp32", "--workspace", str(workspace)]
    return run(["validate", "Phantom", "3d_fullres", fold, *place, *more])


def test_the_last_validation_finds_the_rules_on_all_cases(
    all_but_the_last: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model_of(all_but_the_last) / "postprocessing.json"
    assert not path.exists()
    capsys.readouterr()
    assert validate(all_but_the_last, "4") == 0
    found = Postprocessing.load(path)
    assert found.cases == 6
    weights = checkpoint_id(path.parent / "fold_0" / "checkpoint_last.pt")
    assert found.checkpoints == {str(fold): (weights,) for fold in range(5)}  # copies of one
    assert found.tried
    assert "All folds are validated. Postprocessing" in capsys.readouterr().out

    path.unlink()
    assert validate(all_but_the_last, "4", "--checkpoint", "best") == 0
    assert not path.exists()  # the folds are not validated alike

    lost = next((model_of(all_but_the_last) / "fold_1" / "validation").glob("*.nii.gz"))
    lost.unlink()
    capsys.readouterr()
    assert validate(all_but_the_last, "4") == 0
    assert f"{lost} does not exist" in capsys.readouterr().out
    assert not path.exists()
