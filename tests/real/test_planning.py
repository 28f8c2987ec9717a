"""plan-and-preprocess on each kind of real dataset, unattended; large ones are cut down to a few cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from autodiffseg.cli import run
from autodiffseg.dataset import DatasetJson
from autodiffseg.labels import OUTSIDE, LabelSpec
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.workspace import Workspace

pytestmark = [pytest.mark.real, pytest.mark.slow]


class Facts(NamedTuple):
    """What is known beforehand of the default plan of the cases that are taken."""

    source: str
    link: dict[str, Any]
    patches: dict[str, tuple[int, ...]]
    spacing: tuple[float, ...]
    """mm, of the last configuration."""
    batch: int
    """Of the last configuration."""
    channels: int = 1


REGIONS = {"background": 0, "whole": [1, 2, 3, 4], "core": [1, 3, 4], "enhancing": 4}
IGNORE = {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "ignore": 4}
HEART = {"2d": (256, 256), "3d_fullres": (10, 256, 256)}
DATASETS = {
    "isotropic MR": Facts(
        "Dataset004_Hippocampus", {"cases": 30}, {"2d": (56, 40), "3d_fullres": (40, 56, 40)}, (1, 1, 1), 2
    ),
    "anisotropic MR": Facts("Dataset027_ACDC", {"cases": 12}, HEART, (10, 1.5234, 1.5234), 2),
    "scribbles": Facts(
        "Dataset027_ACDC", {"cases": 12, "labels": IGNORE, "label_maps": "labelsTr_scribble"}, HEART,
        (10, 1.5234, 1.5234), 2,
    ),
    "regions": Facts(
        "Dataset150_BraTS15mini", {"labels": REGIONS, "regions_class_order": [2, 1, 4]},
        {"2d": (96, 80), "3d_fullres": (80, 96, 80)}, (2, 2, 2), 2, channels=2,
    ),
    "X-ray": Facts("Dataset110_JSRT", {"cases": 40}, {"2d": (224, 224)}, (1, 1), 12),
    "CT crops of four annotators": Facts("Dataset120_LIDC4", {}, {"2d": (128, 128)}, (1, 1), 12),
}  # fmt: skip


@pytest.mark.parametrize("name", DATASETS)
def test_real_datasets_are_planned_and_preprocessed_unattended(
    name: str, link_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    facts = DATASETS[name]
    raw, place = link_dataset(facts.source, tmp_path / facts.source, **facts.link), Workspace(tmp_path / "w")
    arguments = ["plan-and-preprocess", str(raw), "--workspace", str(place.root), "--num-processes", "2"]
    assert run(arguments) == 0

    plan = place.plan(facts.source, "default")
    assert {key: value.patch_size for key, value in plan.configurations.items()} == facts.patches
    last = plan.configuration(list(facts.patches)[-1])
    assert last.spacing == pytest.approx(facts.spacing, rel=1e-3)
    assert last.batch_size == facts.batch

    spec = DatasetJson.load(raw / "dataset.json").spec
    cases = len(list((raw / "labelsTr").iterdir()))
    for configuration in facts.patches:
        store = CaseStore(place.preprocessed(facts.source) / plan.data_id(configuration))
        assert len(store.cases()) == cases
        seen = dict.fromkeys(spec.foreground, 0)
        for case in store.cases():
            check_case(store, case, facts.channels, spec)
            for key, count in store.properties(case).class_voxels.items():
                seen[key] += count
        assert all(seen.values())


def check_case(store: CaseStore, case: str, channels: int, spec: LabelSpec) -> None:
    """Image and label lie on one grid; the image is finite and of unit spread; locations hold their class."""
    image, label, properties = store.image(case)[:], store.label(case)[0], store.properties(case)
    assert image.shape == (channels, *properties.shape)
    assert label.shape == properties.shape
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
    np.testing.assert_allclose(image.std(axis=(1, 2, 3)), 1, atol=0.3)  # z-score, before a resampling if there is one
    assert set(np.unique(label).tolist()) <= spec.values | {OUTSIDE}
    for members, voxels in zip(spec.foreground.values(), store.locations(case).values(), strict=True):
        assert np.isin(label[tuple(voxels.T)], members).all()


def test_the_reference_of_the_crops_is_the_majority_of_their_annotators(
    link_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    name = "Dataset120_LIDC4"  # its reference holds what two or more of four marked
    raw, place = link_dataset(name, tmp_path / name), Workspace(tmp_path / "w")
    assert run(["plan-and-preprocess", str(raw), "--workspace", str(place.root), "--num-processes", "1"]) == 0
    store = CaseStore(place.preprocessed(name) / place.plan(name, "default").data_id("2d"))
    for case in store.cases():
        reference, *annotators = store.label(case)[:]
        assert len(annotators) == 4
        np.testing.assert_array_equal(reference == 1, np.sum(np.stack(annotators) == 1, axis=0) >= 2)
