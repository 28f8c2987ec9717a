"""Label maps of several annotators through plan-and-preprocess: stored beside the reference, and part of the hash."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.cli import run
from autodiffseg.dataloading.batches import BatchSource
from autodiffseg.dataset import RawDataset
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image
from autodiffseg.labels import UNKNOWN
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.workspace import Workspace

NAME = "Dataset008_Opinions"
GRID = Geometry(shape=(1, 16, 20), spacing=(1, 1, 1), origin=(0, 0), direction=(1, 0, 0, 1))
CASES = ("a", "b", "c")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Three images with a reference; `first` marks more than it, `second` less and not case b."""
    folder = tmp_path / NAME
    rng = np.random.default_rng(0)
    for case in CASES:
        write_image(folder / "imagesTr" / f"{case}_0000.png", rng.integers(1, 99, GRID.shape).astype(np.uint8), GRID)
        write_image(folder / "labelsTr" / f"{case}.png", square(4), GRID)
        write_image(folder / "labels_first" / f"{case}.png", square(6), GRID)
        if case != "b":
            write_image(folder / "labels_second" / f"{case}.png", square(2), GRID)
    content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "nodule": 1}, "file_ending": ".png"}
    content["annotators"] = {"first": "labels_first", "second": "labels_second"}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def square(size: int) -> np.ndarray:
    label = np.zeros(GRID.shape, np.uint8)
    label[0, 5 : 5 + size, 7 : 7 + size] = 1
    return label


def stored(raw: Path, workspace: Path) -> CaseStore:
    arguments = ["plan-and-preprocess", str(raw), "--preset", "cpu", "--overwrite", "--num-processes", "1"]
    assert run([*arguments, "--workspace", str(workspace)]) == 0
    place = Workspace(workspace)
    return CaseStore(place.preprocessed(NAME) / place.plan(NAME, "cpu").data_id("2d"))


def test_every_annotator_is_stored_after_the_reference(raw: Path, tmp_path: Path) -> None:
    store = stored(raw, tmp_path / "w")
    for case in CASES:
        reference, first, second = store.label(case)[:]
        np.testing.assert_array_equal(reference, square(4))
        np.testing.assert_array_equal(first, square(6))
        np.testing.assert_array_equal(second, np.full(GRID.shape, UNKNOWN) if case == "b" else square(2))
        assert store.properties(case).class_voxels == {"nodule": 16}


def test_a_changed_annotation_is_noticed(raw: Path, tmp_path: Path) -> None:
    before = stored(raw, tmp_path / "w").folder
    write_image(raw / "labels_second" / "b.png", square(3), GRID)
    after = stored(raw, tmp_path / "w")
    assert after.folder != before
    np.testing.assert_array_equal(after.label("b")[2], square(3))


def test_training_patches_show_the_reference(raw: Path, tmp_path: Path) -> None:
    store = stored(raw, tmp_path / "w")
    configuration = Workspace(tmp_path / "w").plan(NAME, "cpu").configuration("2d")
    batch = BatchSource(store, CASES, configuration, RawDataset(raw).spec, seed=0, augment=False).batch(0)
    assert batch.label.shape == (configuration.batch_size, *configuration.patch_size)
    assert [int((label == 1).sum()) for label in batch.label] == [16] * configuration.batch_size
