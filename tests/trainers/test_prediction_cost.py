"""What a prediction costs, in operations counted on tensors without content."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from autodiffseg.sampling import Sampling
from autodiffseg.trainers.prediction_cost import _windows, operations_per_case, patch_operations
from autodiffseg.workspace import Workspace

Make = Callable[..., Any]


@pytest.mark.parametrize("name", ["supervised", "recycling", "self-conditioning-same"])
def test_counting_without_content_counts_what_is_computed(make_trainer: Make, name: str) -> None:
    trainer = make_trainer(name)
    sampling = Sampling(steps=3)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        image = torch.zeros(1, 1, 8, 8, 8)
        list(trainer.predict_steps(image, lambda step, channels: torch.zeros(1, channels, 8, 8, 8), sampling))
    assert patch_operations(trainer, sampling) == counter.get_total_flops() > 0


def test_every_step_costs_a_pass(make_trainer: Make) -> None:
    trainer = make_trainer("recycling")
    one, five = (patch_operations(trainer, Sampling(steps=steps)) for steps in (1, 5))
    assert five == 5 * one
    assert patch_operations(make_trainer("supervised"), Sampling(steps=5)) < one


@pytest.mark.parametrize(
    ("dimensions", "shape", "windows"),
    [(3, (8, 8, 8), 1), (3, (5, 12, 16), 1 * 2 * 3), (2, (5, 8, 12), 5 * 1 * 2)],
)
def test_windows_and_mirrors_multiply(
    make_trainer: Make, dimensions: int, shape: tuple[int, ...], windows: int
) -> None:
    assert _windows(make_trainer("supervised", dimensions=dimensions), shape) == windows * 2**dimensions


def test_a_run_costs_what_its_patches_cost(trained_phantom: Path) -> None:
    results = trained_phantom / "results" / "Dataset900_Phantom"
    place, cases = Workspace(trained_phantom), ("phantom_003", "phantom_005")
    recycling, supervised = (
        operations_per_case(results / f"{name}__cpu__3d_fullres", place, cases) for name in ("recycling", "supervised")
    )
    assert 5 < recycling / supervised < 5.5  # five passes, each with mask channels too


def test_a_fold_that_has_just_begun_does_not_hinder(trained_phantom: Path, tmp_path: Path) -> None:
    run = next(trained_phantom.glob("results/*/supervised*"))
    shutil.copytree(run / "fold_0", tmp_path / run.name / "fold_1")
    (tmp_path / run.name / "fold_0").mkdir()
    shutil.copy(run / "fold_0" / "run.json", tmp_path / run.name / "fold_0")
    place, cases = Workspace(trained_phantom), ("phantom_003",)
    assert operations_per_case(tmp_path / run.name, place, cases) == operations_per_case(run, place, cases)
