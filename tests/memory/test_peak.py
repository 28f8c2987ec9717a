"""PeakMemory: it sees what was taken since it began, and nothing from before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autodiffseg.memory import peak
from autodiffseg.memory.peak import PeakMemory

CPU = torch.device("cpu")


def test_it_sees_memory_that_was_given_back_and_forgets_what_was_before() -> None:
    before = np.ones(40_000_000)  # 0.32 GB
    del before
    watch = PeakMemory(CPU)
    start = watch.gb()
    if start is None:
        pytest.skip("the system does not tell the peak of the resident memory (Linux does)")
    taken = np.ones(20_000_000)
    del taken
    most = watch.gb()
    assert most is not None
    assert 0.1 < most - start < 0.25


def test_where_the_system_does_not_tell_there_is_no_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peak, "RESET", tmp_path / "missing" / "clear_refs")
    assert PeakMemory(CPU).gb() is None


@pytest.mark.gpu
def test_on_a_gpu_it_counts_tensors() -> None:
    watch = PeakMemory(torch.device("cuda"))
    start = watch.gb()
    taken = torch.ones(50_000_000, device="cuda")
    del taken
    most = watch.gb()
    assert start is not None
    assert most is not None
    assert most - start == pytest.approx(0.2, abs=0.01)
