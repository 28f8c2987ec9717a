"""predict --uncertainty, and what several samples bring with them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiffseg.cli import run
from autodiffseg.images import read_image
from autodiffseg.uncertainty.map_files import existing_maps

from .test_several_models import predict, trainers  # noqa: F401  # a fixture

LN2 = np.log(2)


def entropy(p: float) -> float:
    return float(-p * np.log(p) - (1 - p) * np.log(1 - p))


def inside(folder: Path, case: str = "case") -> dict[str, float]:
    """Part -> its value inside the crop, where it is the same in all voxels."""
    maps = {part: read_image(path)[0][0] for part, path in existing_maps(folder, case).items()}
    there = maps["total"] > 0
    return {part: float(volume[there].mean()) for part, volume in maps.items()}


def test_folds_that_differ_are_seen_between_models(tmp_path: Path, trainers: Any) -> None:  # noqa: F811
    assert predict(tmp_path, "out", "a", more=("--uncertainty",)) == 0
    found = inside(tmp_path / "out")
    assert found == pytest.approx(
        {"total": LN2, "between_models": LN2 - entropy(0.9), "residual": entropy(0.9)}, abs=1e-5
    )
    with (tmp_path / "out" / "uncertainty.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["case"], row["models"], row["samples"]) == ("case", "2", "1")
    assert row["interval"] == "none: 0 cross-validation cases with scores, 20 are needed"


def test_models_count_by_their_weight_and_folds_by_their_share(tmp_path: Path, trainers: Any) -> None:  # noqa: F811
    """Folds 0.9 and 0.1 weigh a quarter each, the other model's fold a half."""
    assert predict(tmp_path, "out", "a", "b", more=("--uncertainty",)) == 0
    found = inside(tmp_path / "out")
    assert found["total"] == pytest.approx(entropy(0.25 + 0.0625), abs=1e-5)
    assert found["residual"] == pytest.approx(0.5 * entropy(0.9) + 0.5 * entropy(0.125), abs=1e-5)


def test_one_answer_has_a_total_alone_and_nothing_is_written_unasked(
    tmp_path: Path,
    trainers: Any,  # noqa: F811
) -> None:
    assert predict(tmp_path, "out", "b") == 0
    assert not (tmp_path / "out" / "uncertainty").exists()
    assert predict(tmp_path, "out", "b", more=("--uncertainty",)) == 0
    assert inside(tmp_path / "out") == {"total": pytest.approx(entropy(0.125), abs=1e-5)}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_samples_bring_their_uncertainty_which_goes_with_them(
    trained_phantom: Path, phantom_raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained_phantom / "results" / "Dataset900_Phantom" / "recycling__cpu__3d_fullres"
    image = next(iter(sorted((phantom_raw / "imagesTr").glob("*_0000.nii.gz"))))
    case, out = image.name.removesuffix("_0000.nii.gz"), tmp_path / "out"
    line = ["predict", "-i", str(image), "-o", str(out), "--model", str(model), "--no-mirroring", "--device", "cpu"]
    assert run([*line, "--num-samples", "2", "--save-probabilities"]) == 0
    assert "90 % intervals of volumes: none" in capsys.readouterr().out.replace("\n", " ")
    maps = {f"uncertainty/{case}_{part}.nii.gz" for part in ("total", "between_samples", "residual")}
    assert files(out) >= {*maps, f"uncertainty/{case}.json", "uncertainty.csv", f"sample_1/{case}.nii.gz"}
    volumes = {part: read_image(path)[0][0] for part, path in existing_maps(out, case).items()}
    np.testing.assert_allclose(volumes["total"], volumes["between_samples"] + volumes["residual"], atol=1e-6)
    assert volumes["between_samples"].max() > 0
    with np.load(out / f"{case}.npz") as file:
        saved = file["probabilities"].astype(np.float64)
    np.testing.assert_allclose(volumes["total"], -(saved * np.log(np.where(saved > 0, saved, 1))).sum(0), atol=3e-3)

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    assert run([*line, "--num-samples", "2", "--save-probabilities", "--continue"]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")} == before
    assert run([*line, "--num-samples", "2", "--no-uncertainty"]) == 0
    assert not [name for name in files(out) if "uncertainty" in name]
