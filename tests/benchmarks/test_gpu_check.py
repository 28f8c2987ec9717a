"""benchmarks/gpu_check.py runs, and its yardstick has the layers that nnU-Net has."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def gpu_check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "gpu_check.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_the_check_tries_itself_on_a_cpu_and_prints_one_json_object() -> None:
    done = gpu_check("--device", "cpu", "--quick")
    assert done.returncode == 0, done.stderr[-2000:]
    findings = json.loads(done.stdout)
    assert findings["passed"] is True
    assert [row["network"] for row in findings["speed"]["rows"]] == [
        "plain_unet",
        "supervised",
        "diffusion",
        "recycling",
    ]
    assert [row["trainer"] for row in findings["memory"]] == ["supervised", "diffusion", "recycling"]
    assert all(row["counted_gb"] >= 0 and row["allocated_gb"] is None for row in findings["memory"])
    assert {run["trainer"] for run in findings["training"]} == {"supervised", "diffusion", "recycling"}


def told(returncode: int, stdout: str = "", stderr: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], returncode, stdout, stderr)


@pytest.mark.parametrize(
    ("done", "passed_on_cuda", "passed_on_cpu"),
    [
        (told(0, "3 passed, 2 skipped, 9 deselected in 1.0s"), True, True),
        (told(0, "5 skipped, 9 deselected in 1.0s"), False, True),
        (told(1, "FAILED tests/a.py::b - odd\n1 failed, 2 passed in 1.0s"), False, False),
        (told(1, "ERROR tests/a.py\n1 error in 1.0s"), False, False),
        (told(1, "", "/usr/bin/python: No module named pytest"), False, False),
        (told(5, "no tests collected (99 deselected) in 1.0s"), False, False),
        (told(4, "", "ERROR: usage"), False, False),
        (told(-9), False, False),
        (told(0), False, False),
    ],
)
def test_only_tests_that_were_run_have_passed(
    monkeypatch: pytest.MonkeyPatch,
    done: subprocess.CompletedProcess[str],
    passed_on_cuda: bool,
    passed_on_cpu: bool,
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    check = load("gpu_check")
    tests = check.count_tests(done)
    assert check.have_passed(tests, torch.device("cuda")) is passed_on_cuda
    assert check.have_passed(tests, torch.device("cpu")) is passed_on_cpu
    assert len(tests["failures"]) == tests["failed"]


def test_why_no_test_could_be_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    tests = load("gpu_check").count_tests(told(1, "", "/usr/bin/python: No module named pytest\n"))
    assert tests["failures"] == ["pytest left with 1: /usr/bin/python: No module named pytest"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_check_says_so_in_one_line() -> None:
    done = gpu_check()
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "CUDA" in done.stderr


def test_the_plain_unet_has_the_weights_of_nnunets() -> None:
    plan = load("synthetic").make_plan(size=16, stages=3, features=4)
    network = load("plain_unet").PlainUNet(plan.configuration("3d_fullres").network, 2, 3)
    # Convolutions k³·in·out + out, norms 2·out, transposed 8·in·out + out, heads in·classes + classes.
    double = [27 * i * o + o + 2 * o + 27 * o * o + o + 2 * o for i, o in ((2, 4), (4, 8), (8, 16), (16, 8), (8, 4))]
    ups, heads = [8 * 16 * 8 + 8, 8 * 8 * 4 + 4], [8 * 3 + 3, 4 * 3 + 3]
    assert sum(p.numel() for p in network.parameters()) == sum(double + ups + heads)
    assert [tuple(logits.shape[2:]) for logits in network(torch.zeros(1, 2, 16, 16, 16))] == [(16,) * 3, (8,) * 3]
