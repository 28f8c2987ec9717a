"""A dataset that is planned again after its raw files have changed: the plan follows unless an edit would be lost."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest

from autodiffseg.cli import run
from autodiffseg.plans import Plan
from autodiffseg.workspace import Workspace

NAME = "Dataset900_Phantom"


@pytest.fixture
def place(phantom_raw: Path, planned_phantom: Path, tmp_path: Path) -> Workspace:
    """A workspace with raw files of its own and the plan `cpu` of them."""
    shutil.copytree(planned_phantom, tmp_path, dirs_exist_ok=True)
    shutil.copytree(phantom_raw, tmp_path / "raw" / NAME, dirs_exist_ok=True)
    return Workspace(tmp_path)


def replan(place: Workspace, *options: str) -> int:
    arguments = ["plan-and-preprocess", NAME, "-c", "2d", "--num-processes", "1", "--workspace", str(place.root)]
    return run([*arguments, "--preset", "cpu", *options])


def change_an_image(place: Workspace) -> None:
    images = place.raw / NAME / "imagesTr"
    shutil.copy(images / "phantom_001_0000.nii.gz", images / "phantom_000_0000.nii.gz")


def test_images_with_a_channel_more_are_planned_with_overwrite(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted((place.raw / NAME / "imagesTr").iterdir()):
        shutil.copy(path, path.with_name(path.name.replace("_0000", "_0001")))
    described = json.loads((place.raw / NAME / "dataset.json").read_text())
    described["channel_names"] = {"0": "MR", "1": "MR"}
    (place.raw / NAME / "dataset.json").write_text(json.dumps(described))
    assert replan(place) == 2
    assert "was made for other raw data" in capsys.readouterr().err
    assert replan(place, "--overwrite") == 0
    assert len(place.plan(NAME, "cpu").intensities) == 2


def test_a_run_that_is_stopped_before_the_plan_is_written_does_not_make_it_look_edited(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.plan_path(NAME, "cpu")
    before = Plan.load(path)
    change_an_image(place)
    with monkeypatch.context() as stopped:
        stopped.setattr("autodiffseg.planners.preparation.write_text", Mock(side_effect=KeyboardInterrupt))
        assert replan(place) != 0
    assert Plan.load(path) == before
    assert replan(place) == 0
    assert Plan.load(path).fingerprint_hash != before.fingerprint_hash


def test_only_configurations_without_cases_are_told_to_be_not_preprocessed(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place.plan_path(NAME, "cpu")
    content = json.loads(path.read_text())
    content["configurations"]["coarse"] = {"inherits_from": "3d_fullres", "spacing": [3, 3, 3]}
    content["configurations"]["small"] = {"inherits_from": "3d_fullres", "batch_size": 1}
    path.write_text(json.dumps(content))
    assert replan(place) == 0
    told = [line.split(":")[0].strip() for line in capsys.readouterr().out.splitlines() if "(not prepro" in line]
    assert told == ["coarse"]


def test_the_command_that_is_told_next_works_as_it_is(
    place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "a folder"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert replan(place) == 0
    (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Next: ")]
    short = ["--trainer", "supervised", "--iterations", "1", "--device", "cpu", "--set", "validation_batches=1"]
    assert run([*shlex.split(told.removeprefix("Next: autodiffseg ")), *short, "--num-workers", "0"]) == 0
