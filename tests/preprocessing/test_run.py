"""Preprocessing a dataset: any number of processes gives the same bytes, and a killed run goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.dataset import RawDataset
from autodiffseg.plans import Plan
from autodiffseg.preprocessing import parallel, run
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.run import missing_cases, preprocess_dataset

COMMAND = """
import sys, time
from pathlib import Path
from autodiffseg.dataset import RawDataset
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.run import preprocess_dataset
raw, plan, folder = map(Path, sys.argv[1:])
slow = lambda: time.sleep(0.2)
preprocess_dataset(RawDataset(raw), Plan.load(plan), "3d_fullres", folder, processes=1, on_case=slow)
"""


def plan_path(workspace: Path) -> Path:
    (path,) = workspace.glob("preprocessed/*/plans/cpu.json")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_number_of_processes_changes_no_byte(
    phantom_raw: Path, planned_phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "FEW_BYTES", 0)
    monkeypatch.setattr(run, "QUICK_BYTES", 0)
    raw, plan = RawDataset(phantom_raw), Plan.load(plan_path(planned_phantom))
    for processes in (1, 2, 3):
        preprocess_dataset(raw, plan, "3d_fullres", tmp_path / str(processes), processes=processes)
    assert len(contents(tmp_path / "1")) == 4 * len(raw.cases)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "3")


def test_a_killed_run_goes_on_where_it_was(phantom_raw: Path, planned_phantom: Path, tmp_path: Path) -> None:
    raw, plan, store = RawDataset(phantom_raw), plan_path(planned_phantom), CaseStore(tmp_path / "store")
    arguments = [sys.executable, "-c", COMMAND, str(phantom_raw), str(plan), str(store.folder)]
    with subprocess.Popen(arguments) as process:
        deadline = time.monotonic() + 60
        while len(store.cases()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = {case: (store.folder / f"{case}.json").stat().st_mtime_ns for case in store.cases()}
    assert 2 <= len(done) < len(raw.cases)
    left = missing_cases(raw, store)
    counted: list[None] = []
    preprocess_dataset(
        raw, Plan.load(plan), "3d_fullres", store.folder, processes=1, on_case=lambda: counted.append(None)
    )
    assert len(counted) == len(left) == len(raw.cases) - len(done)
    assert all((store.folder / f"{case}.json").stat().st_mtime_ns == when for case, when in done.items())
    for case in raw.cases:
        assert np.isfinite(store.image(case)[:]).all()


def test_too_little_memory_makes_it_one_process_and_says_so(
    phantom_raw: Path, planned_phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "FEW_BYTES", 0)
    monkeypatch.setattr(parallel, "free_memory_bytes", lambda: 1000)
    monkeypatch.setattr(parallel, "run_in_workers", None)
    notes: list[str] = []
    raw, plan = RawDataset(phantom_raw), Plan.load(plan_path(planned_phantom))
    preprocess_dataset(raw, plan, "3d_fullres", tmp_path, processes=2, tell=notes.append)
    assert [note.partition(":")[2] for note in notes] == [
        " 1 of 2 processes work: one may need 251 MB, and 1 kB of memory are free."
    ]


def test_with_nothing_to_do_nothing_is_read_or_told(phantom_raw: Path, planned_phantom: Path) -> None:
    raw, plan = RawDataset(phantom_raw), Plan.load(plan_path(planned_phantom))
    folder = planned_phantom / "preprocessed" / raw.name / plan.data_id("3d_fullres")
    before = contents(folder)
    assert preprocess_dataset(raw, plan, "3d_fullres", folder, processes=2) == ()
    assert contents(folder) == before
