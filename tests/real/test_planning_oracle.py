"""Plans against nnU-Net's own, from its own fingerprints: version 2.8.1 here, and those that others published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.dataset import DatasetJson
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.planners.planner import Planned, make_plan
from autodiffseg.planners.presets import DEFAULT, RESIDUAL_L, RESIDUAL_M, Preset

pytestmark = pytest.mark.real

ReadFingerprint = Callable[[Path, str], Fingerprint]

SETS = ("004_Hippocampus", "027_ACDC", "110_JSRT", "120_LIDC4", "150_BraTS15mini")
PLANS = {
    "nnUNetPlans.json": DEFAULT,
    "nnUNetPlans_2GB.json": DEFAULT.scaled_to(2),
    "nnUNetResEncUNetMPlans.json": RESIDUAL_M,
    "nnUNetResEncUNetLPlans.json": RESIDUAL_L,
}
PUBLIC = ("Reference_nnUNet_plans/MSD_Lung", "Reference_nnUNet_plans/FDG_PETCT", "Reference_nnUNet_plans/Liver",
          "Reference_nnUNet_Hippocampus")  # fmt: skip
SCHEMES = {"CTNormalization": "ct", "ZScoreNormalization": "zscore"}


def planned(folder: Path, read: ReadFingerprint, preset: Preset) -> Planned:
    dataset = DatasetJson.load(folder / "dataset.json")
    seen = read(folder / "dataset_fingerprint.json", folder.name)
    return make_plan(seen, channels=dataset.channels, spec=dataset.spec, preset=preset, name="plan")


def kernels_and_strides(theirs: dict[str, Any]) -> tuple[Any, Any]:
    """Of plans of 2.8.1 and of older ones."""
    if "architecture" in theirs:
        network = theirs["architecture"]["arch_kwargs"]
        return network["kernel_sizes"], network["strides"]
    return theirs["conv_kernel_sizes"], theirs["pool_op_kernel_sizes"]


def assert_planned_alike(made: Planned, path: Path, preset: Preset) -> None:
    """Everything but the batch is theirs; the batch is what fills the same memory, within bounds of our own."""
    theirs = json.loads(path.read_text())
    assert list(made.plan.transpose) == theirs["transpose_forward"]
    assert set(made.plan.configurations) == set(theirs["configurations"])
    for name, wanted in theirs["configurations"].items():
        found = made.plan.configuration(name)
        if "inherits_from" in wanted and "spacing" not in wanted:
            assert (found.inherits_from, found.previous_stage) == (wanted["inherits_from"], wanted["previous_stage"])
            continue
        assert list(found.patch_size) == wanted["patch_size"], name
        assert list(found.spacing) == pytest.approx(wanted["spacing"])
        assert list(found.median_shape) == [round(length) for length in wanted["median_image_size_in_voxels"]]
        kernels, strides = kernels_and_strides(wanted)
        assert [list(kernel) for kernel in found.network.kernels] == kernels
        assert [list(stride) for stride in found.network.strides] == strides
        assert [scheme.use_mask for scheme in found.normalisation] == wanted["use_mask_for_norm"]
        assert [scheme.scheme for scheme in found.normalisation] == [
            SCHEMES[scheme] for scheme in wanted["normalization_schemes"]
        ]
        assert found.batch_dice == wanted["batch_dice"]
        if "architecture" in wanted:
            network = wanted["architecture"]["arch_kwargs"]
            assert list(found.network.features) == network["features_per_stage"]
            blocks = network.get("n_blocks_per_stage") or network["n_conv_per_stage"]
            assert list(found.network.encoder_blocks) == blocks
            assert list(found.network.decoder_blocks) == network["n_conv_per_stage_decoder"]
        batch, limits = made.reasons[name].batch, preset.limits(found.dimensions)
        assert found.batch_size == max(
            2, min(batch.by_memory, max(batch.by_dataset, limits.small_dataset_batch), limits.max_batch)
        )
        if preset.encoder == "plain" or found.batch_size == batch.by_memory:
            assert max(2, min(batch.by_memory, batch.by_dataset)) == wanted["batch_size"], name


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("plans", PLANS)
def test_plans_are_those_of_nnunet(real_data: Path, nnunet_fingerprint: ReadFingerprint, name: str, plans: str) -> None:
    folder = real_data / "Reference_nnUNet281" / f"Dataset{name}"
    if not (folder / plans).is_file():
        assert name == "120_LIDC4"  # of this set there is the default plan alone
        return
    assert_planned_alike(planned(folder, nnunet_fingerprint, PLANS[plans]), folder / plans, PLANS[plans])


@pytest.mark.parametrize("name", PUBLIC)
def test_plans_are_those_that_others_published(real_data: Path, nnunet_fingerprint: ReadFingerprint, name: str) -> None:
    folder = real_data / name
    (path,) = [file for file in folder.iterdir() if file.name in ("plans.json", "nnUNetPlans.json")]
    assert_planned_alike(planned(folder, nnunet_fingerprint, DEFAULT), path, DEFAULT)
