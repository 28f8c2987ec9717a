"""Segmentations of a previous stage on the preprocessed grid: the way of a label, kept until the source changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.preprocessing.case_memory import CaseSize, preprocessing_bytes
from autodiffseg.preprocessing.case_store import CaseStore, PreprocessedCase
from autodiffseg.preprocessing.preprocessor import preprocess_case
from autodiffseg.preprocessing.previous_stage import onto_preprocessed_grid, store_previous_stage

SPEC = LabelSpec(labels={"background": 0, "organ": 1, "tumour": 2})
SHAPE = (14, 18, 16)


def make_plan(spacing: Any, transpose: Any = (0, 1, 2)) -> Plan:
    network = NetworkPlan(
        features=(4, 8),
        kernels=((3,) * 3,) * 2,
        strides=((1,) * 3, (2,) * 3),
        encoder_blocks=(1, 1),
        decoder_blocks=(1,),
    )
    common: dict[str, Any] = {
        "dimensions": 3,
        "spacing": spacing,
        "median_shape": (8, 8, 8),
        "patch_size": (8, 8, 8),
        "batch_size": 2,
        "batch_dice": False,
        "normalisation": (NormalisationPlan(scheme="none"),),
        "network": network,
        "mirror_axes": (),
    }
    low = ConfigurationPlan.model_validate(common | {"spacing": (4.0, 4.0, 4.0)})
    cascade = ConfigurationPlan.model_validate(common | {"previous_stage": "low"})
    zeros = dict.fromkeys(IntensityStatistics.model_fields, 0.0)
    return Plan(
        name="toy",
        preset="default",
        dataset="Dataset001_Toy",
        fingerprint_hash="abc",
        transpose=transpose,
        intensities=(IntensityStatistics(**zeros),),
        configurations={"low": low, "cascade": cascade},
        iterations=1,
    )


def grid(spacing: Any) -> Geometry:
    return Geometry(shape=SHAPE, spacing=spacing, origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))


def organ() -> npt.NDArray[np.int16]:
    """A smooth organ with a tumour, well inside an otherwise bright image."""
    field = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=SHAPE), 2)
    label = np.digitize(field, np.quantile(field, [0.6, 0.85])).astype(np.int16)
    label[:3], label[:, :3], label[:, :, :3], label[-3:], label[:, -3:], label[:, :, -3:] = 0, 0, 0, 0, 0, 0
    return label


def preprocessed(plan: Plan, label: npt.NDArray[np.int16], spacing: Any) -> PreprocessedCase:
    image = np.ones((1, *SHAPE), np.float32)
    image[:, :2], image[..., -1] = 0, 0  # so that something is cropped
    return preprocess_case(image, grid(spacing), case="a", plan=plan, configuration="cascade", spec=SPEC, label=label)


@pytest.mark.parametrize(
    ("spacing", "wanted", "transpose"),
    [
        ((1, 1, 1), (1, 1, 1), (0, 1, 2)),
        ((2, 1, 1.5), (1.3, 1.2, 0.9), (2, 0, 1)),
        ((5, 1, 1), (5, 0.8, 0.8), (0, 2, 1)),  # slice by slice
        ((1.5, 6, 1.2), (4, 1, 1), (1, 0, 2)),
    ],
)
def test_a_label_shown_as_segmentation_lies_where_the_preprocessed_label_does(
    spacing: Any, wanted: Any, transpose: Any
) -> None:
    plan, label = make_plan(wanted, transpose), organ()
    case = preprocessed(plan, label, spacing)
    assert case.label is not None
    assert case.label.max() == 2
    found = onto_preprocessed_grid(label, case.properties, plan)
    np.testing.assert_array_equal(found, np.maximum(case.label[0], 0))
    assert found.dtype == np.int16


def test_a_segmentation_of_another_image_is_refused() -> None:
    plan = make_plan((1, 1, 1))
    case = preprocessed(plan, organ(), (1, 1, 1))
    with pytest.raises(UserError, match=r"segmentation of a has shape \(14, 18, 15\), the image \(14, 18, 16\)"):
        onto_preprocessed_grid(organ()[..., 1:], case.properties, plan)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_image(tmp_path / "low" / "a.nii.gz", organ().astype(np.uint8), grid((2, 1, 1)))
    return tmp_path / "low" / "a.nii.gz"


@pytest.fixture
def cases(tmp_path: Path) -> CaseStore:
    store = CaseStore(tmp_path / "store")
    store.write(preprocessed(make_plan((1, 1, 1)), organ(), (2, 1, 1)))
    return store


def keep(source: Path, cases: CaseStore, tmp_path: Path) -> Any:
    plan = make_plan((1, 1, 1))
    return store_previous_stage({"a": source}, cases, plan, "cascade", tmp_path / "kept", processes=1)


def test_what_was_brought_there_once_is_not_made_again(source: Path, cases: CaseStore, tmp_path: Path) -> None:
    first = keep(source, cases, tmp_path)
    expected = onto_preprocessed_grid(organ(), cases.properties("a"), make_plan((1, 1, 1)))
    np.testing.assert_array_equal(first.segmentation("a")[:], expected[None])
    made = first.path("a").stat().st_mtime_ns
    assert keep(source, cases, tmp_path).path("a").stat().st_mtime_ns == made
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [first.path("a").name]


def test_progress_is_told_of_what_is_to_do_and_of_nothing_else(source: Path, cases: CaseStore, tmp_path: Path) -> None:
    told: list[str] = []

    def watch(count: int) -> Callable[[], None]:
        told.append(f"{count} to do")
        return lambda: told.append("one done")

    for _ in range(2):
        plan = make_plan((1, 1, 1))
        store_previous_stage({"a": source}, cases, plan, "cascade", tmp_path / "kept", processes=1, watch=watch)
    assert told == ["1 to do", "one done"]


def test_a_changed_segmentation_is_noticed_and_the_old_one_left_to_its_readers(
    source: Path, cases: CaseStore, tmp_path: Path
) -> None:
    old = keep(source, cases, tmp_path)
    before = old.segmentation("a")[:]
    write_image(source, np.where(organ() > 0, 2, 0).astype(np.uint8), grid((2, 1, 1)))
    new = keep(source, cases, tmp_path)
    assert new.digest(["a"]) != old.digest(["a"])
    assert set(np.unique(new.segmentation("a")[:])) == {0, 2}
    np.testing.assert_array_equal(old.segmentation("a")[:], before)


def test_another_grid_is_another_segmentation(source: Path, cases: CaseStore, tmp_path: Path) -> None:
    same = keep(source, cases, tmp_path).hashes
    other = store_previous_stage({"a": source}, cases, make_plan((1, 1, 2)), "cascade", tmp_path / "other", processes=1)
    assert same != other.hashes


def test_a_case_that_was_preprocessed_with_another_crop_gets_its_segmentation_anew(
    source: Path, cases: CaseStore, tmp_path: Path
) -> None:
    old = keep(source, cases, tmp_path)
    image = np.ones((1, *SHAPE), np.float32)
    image[:, :4] = 0  # the image was replaced by another of the same size
    plan, where = make_plan((1, 1, 1)), grid((2, 1, 1))
    cases.write(preprocess_case(image, where, case="a", plan=plan, configuration="cascade", spec=SPEC, label=organ()))
    new = keep(source, cases, tmp_path)
    assert new.segmentation("a").shape[1:] == cases.properties("a").shape != old.segmentation("a").shape[1:]
    assert new.digest(["a"]) != old.digest(["a"])


def test_fewer_processes_work_where_the_memory_does_not_hold_more(
    source: Path, cases: CaseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "autodiffseg.preprocessing.previous_stage"
    asked: list[float] = []
    monkeypatch.setattr(f"{module}.useful_processes", lambda _, processes: processes)
    monkeypatch.setattr(f"{module}.fitting_processes", lambda _, needed: asked.append(needed) or 1)
    plan = make_plan((1, 1, 1))
    store_previous_stage({"a": source}, cases, plan, "cascade", tmp_path / "kept", processes=8)
    size = CaseSize(1, SHAPE, (2, 1, 1))
    assert asked == [preprocessing_bytes([size], plan, "cascade")]


def test_missing_and_damaged_segmentations_are_named_with_their_cure(
    source: Path, cases: CaseStore, tmp_path: Path
) -> None:
    kept = keep(source, cases, tmp_path)
    with pytest.raises(UserError, match="no segmentation of case b"):
        kept.segmentation("b")
    kept.path("a").write_bytes(b"no array")
    with pytest.raises(UserError, match=r"is damaged .*; remove it and train with --continue"):
        kept.segmentation("a")
    kept.path("a").unlink()
    with pytest.raises(UserError, match="no segmentation of case a"):
        kept.segmentation("a")


def test_a_label_map_that_cannot_be_read_is_named_with_its_case(source: Path, cases: CaseStore, tmp_path: Path) -> None:
    source.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"case a: .*a\.nii\.gz"):
        keep(source, cases, tmp_path)
    assert not (tmp_path / "kept").exists()
    source.unlink()
    with pytest.raises(UserError, match=r"a\.nii\.gz cannot be read"):
        keep(source, cases, tmp_path)
