"""benchmarks/diffusion_cost.py: what it holds against its limits, and that it runs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("diffusion_cost")


def test_each_ratio_is_recyclings_and_is_held_against_its_own_limit(cost: Any) -> None:
    update = {"supervised": 1.0, "diffusion": 1.1, "recycling": 1.5}
    found = cost.ratios(
        {"seconds": update},
        {"bytes": {"diffusion": 100, "recycling": 103}},
        {"seconds": {"supervised": 10.0, "recycling": 53.0}},
    )
    assert [row["value"] for row in found.values()] == [1.364, 1.5, 1.03, 5.3]
    assert [row["met"] for row in found.values()] == [True, True, False, False]


@pytest.mark.slow
def test_it_measures_every_trainer_on_a_small_dataset(phantom_raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "cost.json"
    small = ["--rounds", "1", "--predictions", "1", "--cases", "1", "--threads", "1", "-o", str(out)]
    command = [sys.executable, str(BENCHMARKS / "diffusion_cost.py"), str(phantom_raw), *small]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(out.read_text())
    assert set(found["training"]["seconds"]) == set(found["memory"]["bytes"]) > set(found["prediction"]["seconds"])
    assert found["ratios"]["recycling peak memory / diffusion peak memory"]["met"]  # counted, so the same everywhere
    assert all(value > 0 for value in found["training"]["cpu_seconds"].values())
