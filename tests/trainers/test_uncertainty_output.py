"""The uncertainty of predictions: maps and figures of draws that are known."""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autodiffseg.geometry import Geometry
from autodiffseg.images import read_geometry, read_image, read_label, write_image
from autodiffseg.inference.export import Prediction
from autodiffseg.inference.probability_store import ProbabilityStore
from autodiffseg.inference.window_sum import Planes
from autodiffseg.labels import LabelSpec
from autodiffseg.trainers.extra_output import Draw
from autodiffseg.trainers.member import Member, ShownCase
from autodiffseg.trainers.prediction_outputs import PredictionOutputs
from autodiffseg.trainers.uncertainty_output import UncertaintyOutput
from autodiffseg.uncertainty.case_uncertainty import CaseUncertainty, write_table
from autodiffseg.uncertainty.figures import unit_of
from autodiffseg.uncertainty.map_files import existing_maps, record_file
from autodiffseg.uncertainty.volume_errors import VolumeErrors

SPEC = LabelSpec(labels={"background": 0, "one": 1, "two": 2})
SHAPE = (4, 5, 6)
TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
GRID = Geometry(shape=SHAPE, spacing=(3.0, 1.5, 0.5), origin=(7.0, -2.0, 1.5), direction=TURNED)
SOME = VolumeErrors({"one": 0.25, "two": np.inf}, "split conformal on 30 cross-validation cases of m")


class Known:
    """A predictor whose answers are given, one a sample."""

    def __init__(self, answers: NDArray[np.float32]) -> None:
        self.answers = answers

    def predict_planes(self, image: Any, case: str, *, sample: int = 0, every_step: bool = False) -> Any:
        yield Planes(0, self.answers[sample][None])


class Properties:
    """Of a case that lies on the grid of its image."""

    case, geometry, crop, shape = "a", GRID, tuple((0, size) for size in SHAPE), SHAPE


class Order:
    """A plan that leaves the axes as they are."""

    transpose = (0, 1, 2)


def drawn(models: int, samples: int) -> NDArray[np.float32]:
    """(models, samples, K, Z, Y, X)."""
    answers = np.random.default_rng(0).dirichlet([1.5, 0.5, 0.3], (models, samples, *SHAPE))
    return np.moveaxis(answers, -1, 2).astype(np.float32)


def predict(
    folder: Path, answers: NDArray[np.float32], errors: VolumeErrors = SOME, weights: tuple[float, ...] = (1.0, 1.0)
) -> CaseUncertainty:
    models, samples = answers.shape[:2]
    plan, properties = Order(), Properties()
    shown: list[Any] = []
    for of_model, weight in zip(answers, weights, strict=False):
        predictor: Any = Known(of_model)
        member = Member(predictor, plan, "any", SPEC, weight=weight)  # type: ignore[arg-type]  # a stand-in
        shown.append(ShownCase(member, np.zeros((1, *SHAPE), np.float32), properties))  # type: ignore[arg-type]  # too
    extra = UncertaintyOutput(folder, ".nii.gz", SPEC, members=models, samples=samples, errors=errors)
    outputs = PredictionOutputs(folder, ".nii.gz", samples=samples, extras=(extra,))
    with ProbabilityStore(folder) as store:
        for write, _ in outputs.jobs(shown, SPEC, store):
            write()
    assert outputs.is_done("a")
    return CaseUncertainty.load(record_file(folder, "a"))


def entropy(p: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(-(p.astype(np.float64) * np.log(p)).sum(axis=-4))


@pytest.mark.parametrize(("models", "samples"), [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_maps_are_the_split_of_the_draws(tmp_path: Path, models: int, samples: int) -> None:
    answers = drawn(models, samples)
    found = predict(tmp_path, answers)
    maps = {part: read_image(path)[0][0] for part, path in existing_maps(tmp_path, "a").items()}
    total, each = entropy(answers.mean((0, 1))), entropy(answers.mean(1)).mean(0)
    residual = entropy(answers).mean((0, 1))
    wanted = {"total": total}
    wanted |= {"between_models": total - each} if models > 1 else {}
    wanted |= {"between_samples": each - residual} if samples > 1 else {}
    wanted |= {"residual": residual} if models * samples > 1 else {}
    assert list(maps) == list(wanted)
    for part, volume in maps.items():
        assert volume.dtype == np.float32
        np.testing.assert_allclose(volume, wanted[part], atol=1e-5)
        assert found.entropy_image[part] == pytest.approx(volume.mean(), abs=1e-5)
    assert (found.models, found.samples) == (models, samples)
    assert sum(found.entropy_image.values()) == pytest.approx(2 * found.entropy_image["total"])


def test_models_count_by_their_weights_in_every_part(tmp_path: Path) -> None:
    answers, share = drawn(2, 3), (0.75, 0.25)
    predict(tmp_path, answers, weights=(3.0, 1.0))
    maps = {part: read_image(path)[0][0] for part, path in existing_maps(tmp_path, "a").items()}
    each, residual = (
        np.average(e, axis=0, weights=share) for e in (entropy(answers.mean(1)), entropy(answers).mean(1))
    )
    total = entropy(np.average(answers.mean(1), axis=0, weights=share))
    np.testing.assert_allclose(maps["between_models"], total - each, atol=1e-5)
    np.testing.assert_allclose(maps["between_samples"], each - residual, atol=1e-5)
    np.testing.assert_allclose(maps["residual"], residual, atol=1e-5)


def test_the_band_is_around_the_foreground_of_every_sample(tmp_path: Path) -> None:
    """The answer has none: one of three samples says foreground in one corner."""
    answers = np.zeros((1, 3, 3, *SHAPE), np.float32)
    answers[:, :, 0] = 1
    answers[0, 1, :, 0, 0, 0] = (0.1, 0.9, 0)
    found = predict(tmp_path, answers)
    squares = sum(np.square(axis) for axis in np.indices(SHAPE))
    assert found.classes["one"].volume == 0
    assert found.band_voxels == (squares <= 9).sum()


def test_maps_lie_where_the_image_lies(tmp_path: Path) -> None:
    predict(tmp_path, drawn(2, 2))
    for path in existing_maps(tmp_path, "a").values():
        grid = read_geometry(path)
        assert grid.shape == SHAPE
        assert (*grid.spacing, *grid.origin) == pytest.approx((*GRID.spacing, *GRID.origin), abs=1e-6)
        assert grid.direction == pytest.approx(TURNED, abs=1e-6)


def test_figures_follow_from_the_label_maps(tmp_path: Path) -> None:
    found = predict(tmp_path, drawn(1, 3))
    one = found.classes["one"]
    answer = read_label(tmp_path / "a.nii.gz")[0]
    samples = [read_label(tmp_path / f"sample_{n}" / "a.nii.gz")[0] == 1 for n in range(3)]
    ml = 3.0 * 1.5 * 0.5 / 1000
    assert found.unit == "ml"
    assert one.volume == pytest.approx(ml * (answer == 1).sum())
    assert one.smallest_sample == pytest.approx(ml * min(mask.sum() for mask in samples))
    assert one.largest_sample == pytest.approx(ml * max(mask.sum() for mask in samples))
    pairs = [
        2 * (a & b).sum() / (a.sum() + b.sum())
        for a, b in ((samples[i], samples[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    ]
    assert one.dice_between_samples == pytest.approx(np.mean(pairs))
    assert (one.low, one.high) == (pytest.approx(0.75 * one.volume), pytest.approx(1.25 * one.volume))
    assert (found.classes["two"].low, found.classes["two"].high) == (0, None)


def test_the_table_has_a_row_a_case_and_blanks_for_what_does_not_exist(tmp_path: Path) -> None:
    found = predict(tmp_path, drawn(1, 1), VolumeErrors({"two": np.inf}, "none: too few"))
    path = write_table(tmp_path)
    assert path == tmp_path / "uncertainty.csv"
    with path.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["entropy_total_image"]) == pytest.approx(found.entropy_image["total"], rel=1e-5)
    assert float(row["one_volume_ml"]) == pytest.approx(found.classes["one"].volume, rel=1e-5)
    assert row["one_volume_ml_min_over_samples"] == row["one_volume_ml_90_low"] == row["one_dice_between_samples"] == ""
    assert (row["two_volume_ml_90_low"], row["two_volume_ml_90_high"]) == ("0", "inf")
    assert row["interval"] == "none: too few"


def test_without_records_there_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "uncertainty.csv").write_text("of an earlier prediction")
    assert write_table(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_flat_images_are_measured_in_areas() -> None:
    flat = Geometry(shape=(1, 5, 6), spacing=(1.0, 0.5, 0.4), origin=(0.0, 0.0), direction=(1.0, 0.0, 0.0, 1.0))
    assert unit_of(flat) == ("mm2", pytest.approx(0.2))
    assert unit_of(GRID) == ("ml", pytest.approx(3.0 * 1.5 * 0.5 / 1000))


def test_without_foreground_there_is_no_band(tmp_path: Path) -> None:
    answers = np.zeros((1, 2, 3, *SHAPE), np.float32)
    answers[:, :, 0] = 1
    found = predict(tmp_path, answers)
    assert (found.band_voxels, found.entropy_band) == (0, None)
    assert found.entropy_image["total"] == 0
    assert found.classes["one"].dice_between_samples is None
    assert (found.classes["one"].low, found.classes["one"].high) == (0, 0)


class Finer:
    """Of a case on a coarser grid than its image."""

    side = 64
    case, crop, shape = "a", ((0, side),) * 3, (48,) * 3
    geometry = Geometry(shape=(side,) * 3, spacing=(1.0,) * 3, origin=(0.0,) * 3, direction=TURNED)


def test_it_takes_at_most_six_volumes_of_the_image(tmp_path: Path) -> None:
    """Two models that draw twice, of classes enough for what grows with them to be seen; SimpleITK copies a map."""
    labels = LabelSpec(labels={"background": 0, **{f"class {number}": number for number in range(1, 8)}})
    case, plan = Finer(), Order()
    values = np.random.default_rng(0).dirichlet(np.ones(8), (2, *case.shape)).astype(np.float32)
    stored = [np.ascontiguousarray(np.moveaxis(of, -1, 0)) for of in values]
    of_models: list[Any] = [Prediction(channels, case, plan) for channels in stored]  # type: ignore[arg-type]
    label = np.zeros(case.geometry.shape, np.uint8)
    label[:2, :2, :2] = 1
    for sample in range(2):
        write_image(tmp_path / f"sample_{sample}" / "a.nii.gz", label, case.geometry)
    extra = UncertaintyOutput(tmp_path, ".nii.gz", labels, members=2, samples=2, errors=VolumeErrors({}, "none"))
    tracemalloc.start()
    entropy = extra.begin("a")
    for sample in range(2):
        for member, prediction in enumerate(of_models):
            entropy.see(Draw(member, sample, prediction))
    entropy.write(of_models, label)
    peak = tracemalloc.get_traced_memory()[1] / (4 * case.side**3)
    tracemalloc.stop()
    assert peak < 6
