"""Grids that this machine cannot hold are refused; those that might fit are tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodiffseg.errors import UserError
from autodiffseg.preprocessing import memory_check
from autodiffseg.preprocessing.memory_check import require_memory
from autodiffseg.workspace import Workspace


@pytest.mark.parametrize(("free", "refused"), [(3.9e9, False), (0.4e9, True), (None, False)])
def test_twice_the_free_memory_is_tried_and_more_is_not(
    planned_phantom: Path, monkeypatch: pytest.MonkeyPatch, free: float | None, refused: bool
) -> None:
    (plans,) = planned_phantom.glob("preprocessed/*/plans")
    plan = Workspace(planned_phantom).plan(plans.parent.name, "cpu")
    monkeypatch.setattr(memory_check, "free_memory_bytes", lambda: None if free is None else int(free))
    monkeypatch.setattr(memory_check, "preprocessing_bytes", lambda *_: 1e9 if free == 0.4e9 else 7.7e9)
    if refused:
        with pytest.raises(UserError, match=r"needs about 1 GB of memory, and 0\.4 GB are free"):
            require_memory([], plan, ["2d"])
    else:
        require_memory([], plan, ["2d"])
