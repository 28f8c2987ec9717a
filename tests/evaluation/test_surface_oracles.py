"""Surface metrics equal MONAI's and surface-distance's on 200 random pairs of shapes, in 3D and 2D."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RECORDED = json.loads((Path(__file__).parent / "surface_oracles.json").read_text(encoding="utf-8"))["pairs"]
NUMBERS = ("HD", "HD95", "ASSD", "NSD", "NSD_surface_distance")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_metrics_equal_what_the_libraries_gave(load: Any) -> None:
    pairs, ours = list(load("oracle_shapes").shape_pairs()), load("metrics_oracles").our_values
    assert len(pairs) == len(RECORDED) == 200
    assert sum(pair.prediction.shape[0] == 1 for pair in pairs) == 50
    for pair, recorded in zip(pairs, RECORDED, strict=True):
        assert (pair.prediction.sum(), pair.reference.sum()) == (recorded["n_pred"], recorded["n_ref"])
        assert ours(pair) == pytest.approx({name: recorded[name] for name in NUMBERS}, abs=1e-4, rel=0)


@pytest.mark.filterwarnings("ignore")
def test_metrics_equal_the_libraries_that_are_installed(load: Any) -> None:
    for library in ("monai", "surface_distance"):
        pytest.importorskip(library)
    script = load("metrics_oracles")
    for pair in load("oracle_shapes").shape_pairs():
        assert script.our_values(pair) == pytest.approx(script.oracle_values(pair), abs=1e-4, rel=0)
