"""What evaluate adds where probabilities or uncertainty maps lie beside label maps."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from autodiffseg.cli import run
from autodiffseg.errors import UserError
from autodiffseg.evaluation.calibration_case import TOP_LABEL, CalibrationScore, calibration_scores
from autodiffseg.evaluation.error_detection_case import detection_scores
from autodiffseg.evaluation.probability_file import read_probabilities
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.labels import LabelSpec
from autodiffseg.uncertainty.map_files import map_file

SPEC = LabelSpec(labels={"background": 0, "one": 1, "two": 2})
IGNORING = LabelSpec(labels={"background": 0, "one": 1, "two": 2, "ignore": 3})
REGIONS = LabelSpec(labels={"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))
SHAPE = (4, 5, 6)
GRID = Geometry(shape=SHAPE, spacing=(1, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))


def drawn(seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Probabilities (3, Z, Y, X), and a reference that is drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = np.moveaxis(rng.dirichlet([2, 1, 1], SHAPE), -1, 0).astype(np.float32)
    reference = (rng.random(SHAPE) > np.cumsum(probabilities, axis=0)).sum(axis=0)
    return probabilities, reference.astype(np.uint8)


def by_name(scores: list[CalibrationScore]) -> dict[tuple[str, str], CalibrationScore]:
    return {(score.area, score.statement): score for score in scores}


def test_the_top_label_is_the_likeliest_class_and_its_score_counts_all_of_them() -> None:
    probabilities, reference = drawn(0)
    found = by_name(list(calibration_scores(probabilities, reference, SPEC)))
    top = found["image", TOP_LABEL]
    assert top.reliability.hits.sum() == (probabilities.argmax(axis=0) == reference).sum()
    assert top.reliability.confidence.sum() == pytest.approx(probabilities.max(axis=0).sum())
    truth = np.take_along_axis(probabilities, reference[None].astype(int), axis=0)
    assert top.nll == pytest.approx(-np.log(truth).mean(), rel=1e-5)
    one_hot = np.stack([reference == value for value in range(3)])
    assert top.brier == pytest.approx(np.square(probabilities - one_hot).sum(axis=0).mean(), rel=1e-5)
    assert found["image", "two"].reliability.hits.sum() == (reference == 2).sum()


def test_regions_have_no_top_label() -> None:
    probabilities, reference = drawn(1)
    found = by_name(list(calibration_scores(probabilities[:2], reference, REGIONS)))
    assert {statement for _, statement in found} == {"whole", "core"}
    assert found["image", "whole"].reliability.hits.sum() == (reference > 0).sum()


def test_the_band_leaves_out_what_is_far_from_any_foreground() -> None:
    probabilities = np.zeros((3, 1, 1, 20), np.float32)
    probabilities[0] = 1
    probabilities[:, 0, 0, 4] = (0, 1, 0)
    reference = np.zeros((1, 1, 20), np.uint8)
    reference[0, 0, 5] = 2
    found = by_name(list(calibration_scores(probabilities, reference, SPEC)))
    assert found["image", TOP_LABEL].reliability.voxels.sum() == 20
    assert found["band", TOP_LABEL].reliability.voxels.sum() == 8  # 1 to 8
    assert found["band", TOP_LABEL].reliability.ece == pytest.approx(2 / 8)


@pytest.mark.parametrize("unknown", [3, 9])
def test_what_the_reference_does_not_say_is_not_scored(unknown: int) -> None:
    probabilities, reference = drawn(2)
    hidden = reference.copy()
    hidden[:2] = unknown
    for area in ("image", "band"):
        seen = by_name(list(calibration_scores(probabilities, hidden, IGNORING)))[area, TOP_LABEL]
        alone = by_name(list(calibration_scores(probabilities[:, 2:], reference[2:], SPEC)))[area, TOP_LABEL]
        assert (seen.nll, seen.brier, seen.reliability.ece) == (alone.nll, alone.brier, alone.reliability.ece)
    scores = detection_scores({"total": probabilities[0]}, reference, hidden, IGNORING)
    assert scores[0].voxels == 2 * 5 * 6
    assert scores[0].errors == 0


def test_without_foreground_the_band_is_empty_and_has_no_value() -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    image, band = detection_scores({"total": np.ones(SHAPE)}, nothing, nothing, SPEC)
    assert (image.voxels, image.mean) == (120, 1)
    assert band.voxels == 0
    assert math.isnan(band.mean)
    assert math.isnan(band.auroc)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    predictions, references = tmp_path / "pred", tmp_path / "ref"
    for seed, case in enumerate("abcdefg"):
        probabilities, reference = drawn(seed)
        write_image(references / f"{case}.nii.gz", reference, GRID)
        write_image(predictions / f"{case}.nii.gz", SPEC.decode(probabilities), GRID)
        np.savez_compressed(predictions / f"{case}.npz", probabilities=probabilities.astype(np.float16))
    return predictions, references


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_probabilities_beside_label_maps_are_scored(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores"
    assert run(["evaluate", "-p", str(folders[0]), "-r", str(folders[1]), "-o", str(out)]) == 0
    told = capsys.readouterr().out
    assert "Calibration of the probabilities" in told
    assert "Uncertainty against error" in told
    assert {path.name for path in out.iterdir()} == {
        "calibration.csv",
        "calibration_cases.csv",
        "error_detection.csv",
        "error_detection_cases.csv",
        "reliability.png",
        "summary.json",
        "summary_cases.csv",
    }
    table = rows(out / "calibration.csv")
    assert [row["statement"] for row in table] == [TOP_LABEL, "1", "2"] * 2
    assert 0 < float(table[0]["ECE"]) < 0.1  # the truth was drawn from the probabilities
    cases = rows(out / "calibration_cases.csv")
    assert len(cases) == 7 * 2 * 3
    top = [row for row in cases if (row["area"], row["statement"]) == ("image", TOP_LABEL)]
    assert float(table[0]["NLL"]) == pytest.approx(np.mean([float(row["NLL"]) for row in top]))
    assert float(table[0]["ECE"]) < np.mean([float(row["ECE"]) for row in top])  # chance cancels over cases
    detected = rows(out / "error_detection.csv")
    assert [row["uncertainty"] for row in detected] == ["total", "total"]
    assert 0.6 < float(detected[0]["AUROC"]) < 1


def test_maps_go_before_the_entropy_of_the_probabilities(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    for case in "abcdefg":
        wrong = drawn("abcdefg".index(case))[1] != SPEC.decode(drawn("abcdefg".index(case))[0])
        write_image(map_file(predictions, case, "total"), wrong.astype(np.float32), GRID)
        write_image(map_file(predictions, case, "residual"), 1 - wrong.astype(np.float32), GRID)
    assert run(["evaluate", "-p", str(predictions), "-r", str(references)]) == 0
    found = {row["uncertainty"]: float(row["AUROC"]) for row in rows(predictions / "error_detection.csv")}
    assert found == {"total": 1, "residual": 0}


def test_label_maps_alone_are_scored_as_before(folders: tuple[Path, Path]) -> None:
    for path in folders[0].glob("*.npz"):
        path.unlink()
    assert run(["evaluate", "-p", str(folders[0]), "-r", str(folders[1])]) == 0
    assert [path.name for path in folders[0].glob("*.csv")] == ["summary_cases.csv"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (np.zeros((2, *SHAPE)), "ask for"),
        (np.full((3, *SHAPE), 1.5), r"outside \[0, 1\]"),
        (np.full((3, *SHAPE), np.nan), r"outside \[0, 1\]"),
    ],
)
def test_what_are_no_probabilities_is_refused(tmp_path: Path, content: NDArray[np.float64], told: str) -> None:
    np.savez(tmp_path / "a.npz", probabilities=content)
    with pytest.raises(UserError, match=told):
        read_probabilities(tmp_path / "a.npz", SPEC, SHAPE)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(UserError, match=r"a\.npz cannot be read as probabilities"):
        read_probabilities(tmp_path / "a.npz", SPEC, SHAPE)
