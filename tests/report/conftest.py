"""A small workspace with two trained rows, and the page about them; names in it try to break out of HTML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiffseg.cli import run
from autodiffseg.evaluation.comparison import Comparison, Entrant, compare
from autodiffseg.evaluation.summary import CaseScores, Summary, write_summary
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.runs import RunRecord

DATASET = "Dataset001_Toy"
EVIL = "<img src=x onerror=document.title='broken'>"
CASES = ("a<b>&'c", *(f"case{i}" for i in range(7)))
SHAPE = (6, 20, 24)
GRID = Geometry(shape=SHAPE, spacing=(3, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
DICE = {
    "supervised": [0.5, 0.7, 0.8, 0.85, 0.86, 0.9, 0.91, 0.92],
    "recycling": [0.6, 0.7, 0.82, 0.8, 0.88, 0.9, 0.9, 0.95],
}


def label_map(shift: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A box of class 1 beside one of class 2, moved along x."""
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[1:5, 5:12, 4 + shift : 10 + shift] = 1
    label[2:4, 5:12, 10 + shift : 14 + shift] = 2
    return label


def write_workspace(root: Path) -> Path:
    """Raw images, references, a plan's reasons and two validated runs."""
    raw, planned = root / "raw" / DATASET, root / "preprocessed" / DATASET
    labels = {"background": 0, "core & shell": 1, "$x_2$": 2}
    content = {"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz"}
    for folder in (raw, planned):
        folder.mkdir(parents=True)
        (folder / "dataset.json").write_text(json.dumps(content))
    noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    for case in CASES:
        write_image(raw / "imagesTr" / f"{case}_0000.nii.gz", noise + label_map(0), GRID)
        write_image(planned / "reference_labels" / f"{case}.nii.gz", label_map(0), GRID)
    (planned / "plans").mkdir()
    (planned / "plans" / "cpu_explained.md").write_text(
        f"# Plan\n\n- because {EVIL}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    for shift, (trainer, dice) in enumerate(DICE.items(), start=1):
        write_run(root, trainer, dice, shift)
    return root


def write_run(root: Path, trainer: str, dice: list[float], shift: int, *, tag: str = "", seed: int = 0) -> None:
    """A validated fold with predictions moved by `shift` voxels."""
    name = "__".join(filter(None, (trainer, "cpu", "3d_fullres", tag)))
    folder = root / "results" / DATASET / name / "fold_0"
    record = RunRecord(
        dataset=DATASET, trainer=trainer, plan="cpu", configuration="3d_fullres", tag=tag, fold="0", seed=seed,
        options={"learning_rate": 0.001}, plan_hash="abc", iterations=10, iterations_done=10, finished=True,
        training_seconds=60.0, parameters=1000, device="cpu", precision="fp32", hardware=f"machine {EVIL}",
        git_revision="1234", versions={"torch": "2"}, command=f"autodiffseg train {EVIL}",
    )  # fmt: skip
    record.save(folder / "run.json")
    (folder / "progress.csv").write_text("update,loss,validation_patch_dice\n1,2.0,nan\n2,1.0,0.5\n3,0.5,0.7\n")
    scores = []
    for case, value in zip(CASES, dice, strict=True):
        path = folder / "validation" / f"{case}.nii.gz"
        write_image(path, label_map(shift), GRID)
        row = {key: {"Dice": value, "HD95": 3 - value, "n_pred": 5, "n_ref": 5} for key in ("1", "2")}
        scores.append(CaseScores(case, row, str(path), f"{case}.nii.gz"))
    write_summary(Summary({"1": "core & shell", "2": "$x_2$"}, tuple(scores)), folder / "validation", passes=shift)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace; tests must not change it."""
    return write_workspace(tmp_path_factory.mktemp("report") / "workspace")


@pytest.fixture(scope="session")
def page(toy: Path) -> Path:
    """The page of the workspace."""
    path = toy.parent / "report.html"
    out = str(toy.parent / "out")
    assert run(["compare", "1", "--workspace", str(toy), "--html", str(path), "-o", out]) == 0
    return path


def compared(dice: dict[str, list[float]], **facts: dict[str, Any]) -> Comparison:
    """A comparison of rows with these Dice of one class, against the first; `facts` by row."""
    entrants = []
    for name, values in dice.items():
        scored = {
            f"case{place}": CaseScores(f"case{place}", {"1": {"Dice": value, "n_pred": 1, "n_ref": 1}}, "", "")
            for place, value in enumerate(values)
        }
        entrants.append(Entrant(name, scored, {}, facts=facts.get(name, {})))
    return compare(entrants, {"1": "one"}, baseline=next(iter(dice)), metrics=("Dice",))
