"""Fingerprints and preprocessed arrays against those that nnU-Net 2.8.1 made of the same datasets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.dataset import RawDataset
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.images import read_case, read_label
from autodiffseg.planners.fingerprint_extraction import take_fingerprint
from autodiffseg.planners.planner import make_plan
from autodiffseg.planners.presets import DEFAULT
from autodiffseg.preprocessing.preprocessor import preprocess_case

pytestmark = pytest.mark.real

ReadFingerprint = Callable[[Path, str], Fingerprint]

CASES = (
    ("Dataset004_Hippocampus", "3d_fullres", "hippocampus_001"),
    ("Dataset004_Hippocampus", "3d_fullres", "hippocampus_003"),
    ("Dataset110_JSRT", "2d", "JPCLN001"),
    ("Dataset150_BraTS15mini", "3d_fullres", "brats_pat0004"),
)


@pytest.mark.parametrize(("dataset", "configuration", "case"), CASES)
def test_preprocessed_cases_are_those_of_nnunet(
    real_data: Path, nnunet_fingerprint: ReadFingerprint, dataset: str, configuration: str, case: str
) -> None:
    oracle = np.load(real_data / "Reference_nnUNet281/preprocessed" / f"{dataset}__{configuration}__{case}.npz")
    raw = RawDataset(real_data / dataset)
    seen = nnunet_fingerprint(real_data / "Reference_nnUNet281" / dataset / "dataset_fingerprint.json", dataset)
    plan = make_plan(seen, channels=raw.json.channels, spec=raw.spec, preset=DEFAULT, name="default").plan
    image, geometry = read_case(raw.images(case))
    label, _ = read_label(raw.label(case))
    ours = preprocess_case(
        image, geometry, case=case, plan=plan, configuration=configuration, spec=raw.spec, label=label
    )
    assert ours.label is not None
    np.testing.assert_allclose(ours.image, oracle["data"], atol=1e-4)
    np.testing.assert_array_equal(ours.label, oracle["seg"])


@pytest.mark.parametrize(
    "dataset", ["Dataset027_ACDC", "Dataset110_JSRT", "Dataset120_LIDC4", "Dataset150_BraTS15mini"]
)
def test_our_fingerprint_is_near_nnunets(real_data: Path, nnunet_fingerprint: ReadFingerprint, dataset: str) -> None:
    ours = take_fingerprint(RawDataset(real_data / dataset), "", processes=2)
    path = real_data / "Reference_nnUNet281" / dataset / "dataset_fingerprint.json"
    theirs = nnunet_fingerprint(path, dataset)
    assert ours.shapes_after_crop == theirs.shapes_after_crop
    first = 1 if ours.shapes[0][0] == 1 else 0  # nnU-Net writes 999 for the axis that 2D images do not have
    np.testing.assert_allclose(np.array(ours.spacings)[:, first:], np.array(theirs.spacings)[:, first:])
    for our, their in zip(ours.intensities, theirs.intensities, strict=True):
        for key, value in their.model_dump().items():
            # Quantiles of whole numbers, sampled on both sides, may differ by one step.
            assert getattr(our, key) == pytest.approx(value, rel=0.01, abs=1.0), key


def test_our_fingerprint_of_fewer_cases_lies_within_nnunets(
    real_data: Path, nnunet_fingerprint: ReadFingerprint
) -> None:
    name = "Dataset004_Hippocampus"  # nnU-Net saw all 260 cases, we 208 of them
    ours = take_fingerprint(RawDataset(real_data / name), "", processes=2)
    theirs = nnunet_fingerprint(real_data / "Reference_nnUNet281" / name / "dataset_fingerprint.json", name)
    assert not Counter(ours.shapes_after_crop) - Counter(theirs.shapes_after_crop)
    assert set(ours.spacings) == set(theirs.spacings)
    (our,), (their,) = ours.intensities, theirs.intensities
    assert their.min <= our.min < our.max <= their.max
    for key in ("median", "percentile_00_5", "percentile_99_5"):
        assert getattr(our, key) == pytest.approx(getattr(their, key), rel=0.1), key
    assert ours.left_right_axes == (2,) * 208
    assert all(found.per_case.median == 1 for found in ours.components.values())
