"""Plans and preprocessed arrays against those that nnU-Net 2.8.1 made of the same datasets."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiffseg.dataset import DatasetJson, RawDataset
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.images import read_case, read_label
from autodiffseg.planners.fingerprint_extraction import take_fingerprint
from autodiffseg.planners.planner import make_plan
from autodiffseg.planners.presets import DEFAULT
from autodiffseg.planners.spacing import target_spacing
from autodiffseg.preprocessing.preprocessor import preprocess_case

pytestmark = pytest.mark.real

PLANNED = ("004_Hippocampus", "027_ACDC", "110_JSRT", "120_LIDC4", "150_BraTS15mini")
CASES = (
    ("Dataset004_Hippocampus", "3d_fullres", "hippocampus_001"),
    ("Dataset004_Hippocampus", "3d_fullres", "hippocampus_003"),
    ("Dataset110_JSRT", "2d", "JPCLN001"),
    ("Dataset150_BraTS15mini", "3d_fullres", "brats_pat0004"),
)


def nnunet_fingerprint(path: Path, name: str) -> Fingerprint:
    seen = json.loads(path.read_text())
    intensities = seen["foreground_intensity_properties_per_channel"]
    return Fingerprint.model_validate(
        {
            "dataset": name,
            "cases": [f"case {index}" for index in range(len(seen["spacings"]))],
            "spacings": seen["spacings"],
            "shapes": seen["shapes_after_crop"],
            "shapes_after_crop": seen["shapes_after_crop"],
            "median_relative_size_after_cropping": seen["median_relative_size_after_cropping"],
            "intensities": [intensities[key] for key in sorted(intensities, key=int)],
            "class_frequencies": {},
            "class_presence": {},
            "raw_hash": "",
        }
    )


def assert_planned_alike(folder: Path, plans: str, names: tuple[str, ...]) -> None:
    dataset = DatasetJson.load(folder / "dataset.json")
    seen = nnunet_fingerprint(folder / "dataset_fingerprint.json", folder.name)
    ours = make_plan(seen, channels=dataset.channels, spec=dataset.spec, preset=DEFAULT, name="default").plan
    theirs = json.loads((folder / plans).read_text())
    assert list(ours.transpose) == theirs["transpose_forward"]
    assert set(names) <= set(ours.configurations)
    for name in names:
        wanted: dict[str, Any] = theirs["configurations"][name]
        found = ours.configuration(name)
        network = wanted["architecture"]["arch_kwargs"]
        assert list(found.patch_size) == wanted["patch_size"], name
        assert found.batch_size == wanted["batch_size"], name
        assert found.batch_dice == wanted["batch_dice"], name
        assert list(found.spacing) == pytest.approx(wanted["spacing"])
        assert list(found.network.features) == network["features_per_stage"]
        assert [list(kernel) for kernel in found.network.kernels] == network["kernel_sizes"]
        assert [list(stride) for stride in found.network.strides] == network["strides"]
        assert [scheme.use_mask for scheme in found.normalisation] == wanted["use_mask_for_norm"]
        assert math.prod(found.median_shape) == pytest.approx(
            math.prod(wanted["median_image_size_in_voxels"]), rel=0.02
        )


@pytest.mark.parametrize("name", PLANNED)
def test_plans_are_those_of_nnunet(real_data: Path, name: str) -> None:
    folder = real_data / "Reference_nnUNet281" / f"Dataset{name}"
    theirs = json.loads((folder / "nnUNetPlans.json").read_text())["configurations"]
    names = tuple(configuration for configuration in ("2d", "3d_fullres") if configuration in theirs)
    assert_planned_alike(folder, "nnUNetPlans.json", names)


@pytest.mark.parametrize(("dataset", "configuration", "case"), CASES)
def test_preprocessed_cases_are_those_of_nnunet(real_data: Path, dataset: str, configuration: str, case: str) -> None:
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
def test_our_fingerprint_is_near_nnunets(real_data: Path, dataset: str) -> None:
    ours = take_fingerprint(RawDataset(real_data / dataset), "", processes=2)
    path = real_data / "Reference_nnUNet281" / dataset / "dataset_fingerprint.json"
    theirs = nnunet_fingerprint(path, dataset)
    assert ours.shapes_after_crop == theirs.shapes_after_crop
    np.testing.assert_allclose(ours.spacings, theirs.spacings)
    for our, their in zip(ours.intensities, theirs.intensities, strict=True):
        for key, value in their.model_dump().items():
            # Quantiles of whole numbers, sampled on both sides, may differ by one step.
            assert getattr(our, key) == pytest.approx(value, rel=0.01, abs=1.0), key


@pytest.mark.parametrize("name", ["Liver", "MSD_Lung", "FDG_PETCT"])
def test_target_spacing_is_that_of_public_plans(real_data: Path, name: str) -> None:
    folder = real_data / "Reference_nnUNet_plans" / name
    (path,) = [file for file in folder.iterdir() if file.name in ("plans.json", "nnUNetPlans.json")]
    seen = nnunet_fingerprint(folder / "dataset_fingerprint.json", name)
    theirs = json.loads(path.read_text())
    wanted = [theirs["configurations"]["3d_fullres"]["spacing"][axis] for axis in theirs["transpose_backward"]]
    assert target_spacing(seen.spacings, seen.shapes_after_crop) == pytest.approx(wanted)
