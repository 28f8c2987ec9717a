"""benchmarks/prediction_vs_nnunet.py: processes that take turns, and weights that fit both networks."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ANSWERING = """
from answering import answer_cases
print("noise that is no answer")
answer_cases(lambda case, files: print("more noise", case, len(files)))
"""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("prediction_vs_nnunet")


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(BENCHMARKS)}


def test_a_process_answers_case_by_case_whatever_else_it_prints(bench: Any, environment: dict[str, str]) -> None:
    tool = bench.Tool([sys.executable, "-c", ANSWERING], environment)
    told = [tool.predict(case, (Path("a"), Path("b"))) for case in ("one", "two")]
    tool.close()
    assert all(set(row) == {"seconds", "cpu", "peak_mb"} and row["seconds"] > 0 for row in told)


def test_a_process_that_fails_says_why(bench: Any, environment: dict[str, str]) -> None:
    with pytest.raises(SystemExit, match=r"(?s)failed:.*no such thing"):
        bench.Tool([sys.executable, "-c", "raise ValueError('no such thing')"], environment)


def test_weights_are_taken_in_the_order_in_which_they_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    side = importlib.import_module("our_prediction_side")
    from autodiffseg.networks.unet import UNet
    from autodiffseg.plans import NetworkPlan

    three = (3, 3, 3)
    plan = NetworkPlan(
        features=(4, 8),
        kernels=(three, three),
        strides=((1, 1, 1), (2, 2, 2)),
        encoder_blocks=(1, 2),
        decoder_blocks=(1,),
    )
    networks = [UNet(plan, image_channels=1, classes=3) for _ in range(2)]
    np.savez(tmp_path / "w.npz", *[parameter.detach().numpy() for parameter in side.in_order(networks[0])])
    side.take_weights(networks[1], tmp_path / "w.npz")
    for ours, theirs in zip(networks[1].parameters(), networks[0].parameters(), strict=True):
        assert np.array_equal(ours.detach(), theirs.detach())
    with pytest.raises(SystemExit, match="networks of both tools differ"):
        side.take_weights(UNet(plan, image_channels=2, classes=3), tmp_path / "w.npz")
