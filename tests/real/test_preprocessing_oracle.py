"""Fingerprints and preprocessed arrays against those that nnU-Net 2.8.1 made of the same datasets."""

from __future__ import annotations

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


@pytest.mark.parametrize("dataset", ["Dataset027_ACDC", "Dataset150_BraTS15mini"])
def test_our_fingerprint_is_near_nnunets(real_data: Path, nnunet_fingerprint: ReadFingerprint, dataset: str) -> None:
    ours = take_fingerprint(RawDataset(real_data / dataset), "", processes=2)
    path = real_data / "Reference_nnUNet281" / dataset / "dataset_fingerprint.json"
    theirs = nnunet_fingerprint(path, dataset)
    assert ours.shapes_after_crop == theirs.shapes_after_crop
    np.testing.assert_allclose(ours.spacings, theirs.spacings)
    for our, their in zip(ours.intensities, theirs.intensities, strict=True):
        for key, value in their.model_dump().items():
            # Quantiles of whole numbers, sampled on both sides, may differ by one step.
            assert getattr(our, key) == pytest.approx(value, rel=0.01, abs=1.0), key
