"""Every public plan of nnU-Net that we have, and those of 2.8.1: imported key by key, built, and planned alike."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from autodiffseg.cli import run
from autodiffseg.dataset import DatasetJson
from autodiffseg.fingerprint import Fingerprint
from autodiffseg.networks.unet import UNet
from autodiffseg.planners.imported_plan import import_plan
from autodiffseg.planners.planner import make_plan
from autodiffseg.planners.presets import DEFAULT, RESIDUAL_L, RESIDUAL_M
from autodiffseg.plans import ConfigurationPlan, Plan
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.workspace import Workspace

pytestmark = pytest.mark.real

PUBLIC = (
    "Reference_nnUNet_Hippocampus/plans.json",
    "Reference_nnUNet_plans/FDG_PETCT/nnUNetPlans.json",
    "Reference_nnUNet_plans/Liver/plans.json",
    "Reference_nnUNet_plans/MSD_Lung/nnUNetPlans.json",
    "Reference_nnUNet_plans/Ossicle/plans.json",
    "Reference_nnUNet_plans/Spine/plans.json",
)
PRESETS = {
    "nnUNetPlans.json": DEFAULT,
    "nnUNetPlans_2GB.json": DEFAULT.scaled_to(2),
    "nnUNetResEncUNetMPlans.json": RESIDUAL_M,
    "nnUNetResEncUNetLPlans.json": RESIDUAL_L,
}
OF_281 = tuple(
    f"Reference_nnUNet281/Dataset{name}/{plans}"
    for name in ("004_Hippocampus", "027_ACDC", "110_JSRT", "120_LIDC4", "150_BraTS15mini")
    for plans in PRESETS
    if name != "120_LIDC4" or plans == "nnUNetPlans.json"
)
SCHEMES = {"CTNormalization": "ct", "ZScoreNormalization": "zscore"}
ReadFingerprint = Callable[[Path, str], Fingerprint]


class Network(NamedTuple):
    """A network as their file tells it, old or new."""

    residual: bool
    features: list[int]
    kernels: list[list[int]]
    strides: list[list[int]]
    blocks: list[int]
    decoder: list[int]


def network_of(theirs: dict[str, Any]) -> Network:
    if "architecture" in theirs:
        name, given = theirs["architecture"]["network_class_name"], theirs["architecture"]["arch_kwargs"]
        blocks = given.get("n_conv_per_stage") or given["n_blocks_per_stage"]
        return Network(
            name.endswith("ResidualEncoderUNet"), given["features_per_stage"], given["kernel_sizes"], given["strides"],
            blocks, given["n_conv_per_stage_decoder"],
        )  # fmt: skip
    stages = len(theirs["conv_kernel_sizes"])
    features = [min(theirs["UNet_base_num_features"] * 2**i, theirs["unet_max_num_features"]) for i in range(stages)]
    return Network(
        theirs["UNet_class_name"] != "PlainConvUNet", features, theirs["conv_kernel_sizes"],
        theirs["pool_op_kernel_sizes"], theirs["n_conv_per_stage_encoder"], theirs["n_conv_per_stage_decoder"],
    )  # fmt: skip


class Count(NamedTuple):
    """Trainable numbers of a network of nnU-Net's, in closed form."""

    total: int
    biases_before_norms: int
    unused_head: int
    """Of the coarsest decoder level, which is never supervised."""


def count(network: Network, channels: int, classes: int) -> Count:
    total = biases = 0

    def convolution(inputs: int, outputs: int, kernel: Sequence[int], *, bias: bool = True) -> None:
        """With its norm's scale and shift."""
        nonlocal total, biases
        total += inputs * outputs * math.prod(kernel) + bias * outputs + 2 * outputs
        biases += bias * outputs

    width = channels
    if network.residual:
        convolution(width, width := network.features[0], network.kernels[0])
    for features, kernel, blocks in zip(network.features, network.kernels, network.blocks, strict=True):
        for _ in range(blocks):
            if network.residual and width != features:
                convolution(width, features, [1], bias=False)
            convolution(width, features, kernel)
            if network.residual:
                convolution(features, features, kernel)
            width = features
    for level, blocks in zip(reversed(range(len(network.features) - 1)), network.decoder, strict=True):
        fine, coarse = network.features[level : level + 2]
        total += coarse * fine * math.prod(network.strides[level + 1]) + fine
        for block in range(blocks):
            convolution(fine if block else 2 * fine, fine, network.kernels[level])
        total += fine * classes + classes
    coarsest = network.features[-2] * classes + classes if len(network.features) > 2 else 0
    return Count(total, biases, coarsest)


def read(path: Path) -> tuple[dict[str, Any], Plan]:
    content = json.loads(path.read_text())
    plan, notes = import_plan(content, source=str(path))
    assert notes == ()
    return content, plan


@pytest.mark.parametrize(
    ("features", "dimensions", "residual", "millions"),
    [
        ([32, 64, 128, 256, 320, 320], 3, False, 31.2),
        ([32, 64, 128, 256, 320, 320], 3, True, 102.4),
        ([32, 64, 128, 256, 512, 512, 512, 512], 2, False, 46.3),
        ([32, 64, 128, 256, 512, 512, 512, 512], 2, True, 140.0),
    ],
)
def test_the_closed_form_gives_the_known_numbers(
    features: list[int], dimensions: int, residual: bool, millions: float
) -> None:
    stages = len(features)
    blocks, decoder = ([1, 3, 4, 6, 6, 6, 6, 6], 1) if residual else ([2] * 8, 2)
    strides = [[1] * dimensions, *[[2] * dimensions] * (stages - 1)]
    network = Network(
        residual, features, [[3] * dimensions] * stages, strides, blocks[:stages], [decoder] * (stages - 1)
    )
    assert count(network, 1, 3).total == pytest.approx(millions * 1e6, rel=0.01)


@pytest.mark.parametrize("name", PUBLIC + OF_281)
def test_every_key_is_theirs(real_data: Path, name: str) -> None:
    theirs, plan = read(real_data / name)
    assert (plan.name, plan.dataset, plan.preset) == (theirs["plans_name"], theirs["dataset_name"], "imported")
    assert list(plan.transpose) == theirs["transpose_forward"]
    assert list(plan.transpose_back) == theirs["transpose_backward"]
    statistics = theirs["foreground_intensity_properties_per_channel"]
    assert [channel.model_dump() for channel in plan.intensities] == [statistics[key] for key in sorted(statistics)]
    assert list(plan.configurations) == list(theirs["configurations"])
    for key, own in theirs["configurations"].items():
        given = theirs["configurations"][own["inherits_from"]] | own if "inherits_from" in own else own
        found = plan.configuration(key)
        assert found.inherits_from == own.get("inherits_from")
        assert found.previous_stage == own.get("previous_stage")
        for ours, wanted in (
            (found.patch_size, given["patch_size"]),
            (found.spacing, given["spacing"]),
            (found.median_shape, [round(length) for length in given["median_image_size_in_voxels"]]),
            ([one.scheme for one in found.normalisation], [SCHEMES[one] for one in given["normalization_schemes"]]),
            ([one.use_mask for one in found.normalisation], given["use_mask_for_norm"]),
        ):
            assert list(ours) == wanted, key
        assert (found.batch_size, found.batch_dice) == (given["batch_size"], given["batch_dice"])
        network = network_of(given)
        assert found.network.encoder == ("residual" if network.residual else "plain")
        assert list(found.network.features) == network.features
        assert [list(kernel) for kernel in found.network.kernels] == network.kernels
        assert [list(stride) for stride in found.network.strides] == network.strides
        assert list(found.network.encoder_blocks) == network.blocks
        assert list(found.network.decoder_blocks) == network.decoder[::-1]


@pytest.mark.parametrize("name", PUBLIC + OF_281)
def test_an_imported_plan_survives_writing_and_reading(real_data: Path, tmp_path: Path, name: str) -> None:
    _, plan = read(real_data / name)
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan


@pytest.mark.parametrize("name", PUBLIC + OF_281)
def test_the_network_has_their_parameters_but_for_biases_without_effect(real_data: Path, name: str) -> None:
    theirs, plan = read(real_data / name)
    for key, given in theirs["configurations"].items():
        if "inherits_from" in given:
            continue
        channels, classes = len(plan.intensities), 4
        with torch.device("meta"):
            net = UNet(plan.configuration(key).network, image_channels=channels, classes=classes)
        wanted = count(network_of(given), channels, classes)
        ours = sum(parameter.numel() for parameter in net.parameters())
        assert ours == wanted.total - wanted.biases_before_norms - wanted.unused_head, key


def planned(path: Path, read_fingerprint: ReadFingerprint) -> Plan:
    dataset = DatasetJson.load(path.parent / "dataset.json")
    fingerprint = read_fingerprint(path.parent / "dataset_fingerprint.json", path.parent.name)
    preset = PRESETS.get(path.name, DEFAULT)
    return make_plan(fingerprint, channels=dataset.channels, spec=dataset.spec, preset=preset, name="plan").plan


def shared(configuration: ConfigurationPlan) -> dict[str, Any]:
    """What both planners decide alike; batches have bounds of our own, and mirroring is not in their files."""
    return configuration.model_dump(exclude={"batch_size", "mirror_axes", "spacing"})


@pytest.mark.parametrize("name", [name for name in PUBLIC + OF_281 if "Ossicle" not in name and "Spine" not in name])
def test_what_is_planned_from_their_fingerprint_is_what_is_imported(
    real_data: Path, nnunet_fingerprint: ReadFingerprint, name: str
) -> None:
    _, imported = read(real_data / name)
    made = planned(real_data / name, nnunet_fingerprint)
    assert made.transpose == imported.transpose
    assert set(made.configurations) == set(imported.configurations)
    for key, configuration in imported.configurations.items():
        assert shared(made.configuration(key)) == shared(configuration), key
        assert made.configuration(key).spacing == pytest.approx(configuration.spacing)
    for ours, theirs in zip(made.intensities, imported.intensities, strict=True):
        assert ours.model_dump() == pytest.approx(theirs.model_dump(), rel=1e-3)


def test_the_plan_of_one_real_dataset_is_applied_to_another(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = real_data / "Reference_nnUNet281/Dataset110_JSRT/nnUNetPlans.json"
    target = str(real_data / "Dataset111_CovidCXR")
    assert run(["plan-and-preprocess", target, "--plan-from", str(source), "--workspace", str(tmp_path)]) == 0
    place = Workspace(tmp_path)
    plan = place.plan("Dataset111_CovidCXR", "nnUNetPlans-from-JSRT")
    theirs = import_plan(json.loads(source.read_text()), source="file").plan
    found, wanted = plan.configuration("2d"), theirs.configuration("2d")
    assert (found.patch_size, found.spacing, found.network) == (wanted.patch_size, wanted.spacing, wanted.network)
    assert plan.intensities == theirs.intensities
    assert found.mirror_axes == (0,)  # left and right lung
    assert "axis 1 is not mirrored" in capsys.readouterr().out
    assert len(list((place.preprocessed(plan.dataset) / plan.data_id("2d")).glob("*.json"))) == 48


def test_cases_preprocessed_by_an_imported_plan_are_nnunets(real_data: Path, tmp_path: Path) -> None:
    reference = real_data / "Reference_nnUNet281"
    source = reference / "Dataset150_BraTS15mini" / "nnUNetPlans.json"
    target = str(real_data / "Dataset150_BraTS15mini")
    options = ["--plan-from", str(source), "-c", "3d_fullres", "--workspace", str(tmp_path)]
    assert run(["plan-and-preprocess", target, *options]) == 0
    place = Workspace(tmp_path)
    plan = place.plan("Dataset150_BraTS15mini", "nnUNetPlans")
    store = CaseStore(place.preprocessed(plan.dataset) / plan.data_id("3d_fullres"))
    theirs = np.load(reference / "preprocessed" / "Dataset150_BraTS15mini__3d_fullres__brats_pat0004.npz")
    np.testing.assert_allclose(store.image("brats_pat0004")[:], theirs["data"], atol=1e-5)
    np.testing.assert_array_equal(store.label("brats_pat0004")[:], theirs["seg"])
