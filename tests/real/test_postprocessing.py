"""The search for rules on a public nnU-Net's cross-validation of Hippocampus, as it is and with specks strewn in."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.dataset import RawDataset
from autodiffseg.evaluation.folder import evaluate_folder
from autodiffseg.evaluation.summary import load_summary
from autodiffseg.images import read_label, write_image
from autodiffseg.postprocessing.folder import apply_to_files
from autodiffseg.postprocessing.search import Pair, find_rules
from autodiffseg.postprocessing.sources import label_files, pair_with_references

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def dataset(real_data: Path) -> RawDataset:
    return RawDataset(real_data / "Dataset004_Hippocampus")


@pytest.fixture(scope="module")
def pairs(real_data: Path, dataset: RawDataset) -> dict[str, Pair]:
    folds = [real_data / "Reference_nnUNet_Hippocampus" / f"fold_{number}" for number in (1, 2, 3, 4)]
    ending, cases = label_files(folds)
    return pair_with_references(cases, dataset.folder / "labelsTr", ending)


def test_the_search_ends_within_a_minute_on_nnunets_own_figures(
    pairs: dict[str, Pair], dataset: RawDataset, real_data: Path
) -> None:
    began = time.perf_counter()
    found = find_rules(pairs, dataset.spec)
    assert time.perf_counter() - began < 60
    assert found.cases == 208
    summaries = [load_summary(path) for path in (real_data / "Reference_nnUNet_Hippocampus").rglob("summary.json")]
    theirs = [case.metrics["1"]["Dice"] for summary in summaries for case in summary.cases]
    assert found.before is not None
    assert found.after is not None
    assert found.before.classes["Anterior"] == pytest.approx(np.mean(theirs))
    # Each of these predictions is one component of either class: there is nothing to gain, and nothing is lost.
    assert found.rules == ()
    assert found.after == found.before


def test_strewn_specks_are_removed_and_no_class_loses(
    pairs: dict[str, Pair], dataset: RawDataset, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    strewn = {}
    for case, pair in pairs.items():
        label, geometry = read_label(pair.prediction)
        for _ in range(rng.integers(0, 4)):
            z, y, x = (int(rng.integers(0, size - 1)) for size in label.shape)
            label[z : z + 2, y : y + 2, x] = rng.integers(1, 3)
        strewn[case] = Pair(tmp_path / "strewn" / pair.prediction.name, pair.reference)
        write_image(strewn[case].prediction, label.astype(np.uint8), geometry)
    found = find_rules(strewn, dataset.spec)
    assert found.rules
    assert found.p is not None
    assert found.p < 1e-6
    files = {case: pair.prediction for case, pair in strewn.items()}
    apply_to_files(files, tmp_path / "cleaned", found.rules, dataset.spec)
    places = (tmp_path / "strewn", tmp_path / "cleaned")
    before, after = (
        evaluate_folder(place, dataset.folder / "labelsTr", dataset.spec, ending=".nii.gz", cases=list(strewn)).mean
        for place in places
    )
    for key in ("1", "2"):
        assert after[key]["Dice"] > before[key]["Dice"]
    assert found.after is not None
    assert list(found.after.classes.values()) == pytest.approx([after[key]["Dice"] for key in ("1", "2")])
