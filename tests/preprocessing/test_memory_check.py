"""Grids that this machine cannot hold are refused; those that might fit are tried."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autodiffseg.cli import run
from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.preprocessing import memory_check
from autodiffseg.preprocessing.memory_check import require_memory
from autodiffseg.workspace import Workspace


@pytest.mark.parametrize(("free", "refused"), [(3.9e9, False), (0.4e9, True), (None, False)])
def test_twice_the_free_memory_is_tried_and_more_is_not(
    planned_phantom: Path, phantom_raw: Path, monkeypatch: pytest.MonkeyPatch, free: float | None, refused: bool
) -> None:
    plan, raw = Workspace(planned_phantom).plan(phantom_raw.name, "cpu"), RawDataset(phantom_raw)
    monkeypatch.setattr(memory_check, "free_memory_bytes", lambda: None if free is None else int(free))
    monkeypatch.setattr(memory_check, "preprocessing_bytes", lambda *_: 1e9 if free == 0.4e9 else 7.7e9)
    images = [raw.images(case) for case in raw.cases]
    if refused:
        with pytest.raises(UserError, match=r"needs about 1 GB of memory, and 400 MB are free"):
            require_memory(images, plan, "2d")
    else:
        require_memory(images, plan, "2d")


def test_cases_that_are_preprocessed_already_need_no_memory(
    planned_phantom: Path, phantom_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(planned_phantom, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(memory_check, "free_memory_bytes", lambda: 0)
    arguments = ["plan-and-preprocess", str(phantom_raw), "--preset", "cpu", "--num-processes", "1"]
    assert run([*arguments, "--workspace", str(tmp_path)]) == 0
