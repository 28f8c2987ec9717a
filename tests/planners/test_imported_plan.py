"""nnU-Net's plans, old and new, as ours: what is taken over, what is noted, what is refused. Written by hand."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.planners.imported_plan import import_plan
from autodiffseg.plans import Plan

UNET = "dynamic_network_architectures.architectures.unet."
RESAMPLING = {"order_z": 0, "force_separate_z": None}
COMMON = {
    "data_identifier": "nnUNetPlans_3d_fullres",
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 3,
    "patch_size": [16, 32, 24],
    "median_image_size_in_voxels": [15.5, 30.0, 21.0],
    "spacing": [3.0, 1.0, 1.5],
    "normalization_schemes": ["CTNormalization", "ZScoreNormalization"],
    "use_mask_for_norm": [False, True],
    "batch_dice": True,
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, **RESAMPLING},
    "resampling_fn_seg": "resample_data_or_seg_to_shape",
    "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, **RESAMPLING},
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, **RESAMPLING},
}
KERNELS = [[1, 3, 3], [3, 3, 3], [3, 3, 3]]
STRIDES = [[1, 1, 1], [1, 2, 2], [2, 2, 2]]


def new_network(name: str = "PlainConvUNet") -> dict[str, Any]:
    """`architecture` as releases since 2024 write it."""
    blocks = {"n_conv_per_stage": [2, 2, 2]} if name == "PlainConvUNet" else {"n_blocks_per_stage": [1, 3, 4]}
    arguments = {
        "n_stages": 3,
        "features_per_stage": [32, 64, 80],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": KERNELS,
        "strides": STRIDES,
        **blocks,
        "n_conv_per_stage_decoder": [2, 1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    imports = ["conv_op", "norm_op", "dropout_op", "nonlin"]
    architecture = {"network_class_name": UNET + name, "arch_kwargs": arguments, "_kw_requires_import": imports}
    return {"architecture": architecture}


def old_network(name: str = "PlainConvUNet") -> dict[str, Any]:
    """The same network as releases of 2023 wrote it."""
    return {
        "UNet_class_name": name,
        "UNet_base_num_features": 32,
        "unet_max_num_features": 80,
        "n_conv_per_stage_encoder": [2, 2, 2] if name == "PlainConvUNet" else [1, 3, 4],
        "n_conv_per_stage_decoder": [2, 1],
        "num_pool_per_axis": [1, 2, 2],
        "pool_op_kernel_sizes": STRIDES,
        "conv_kernel_sizes": KERNELS,
    }


def theirs(network: dict[str, Any] | None = None) -> dict[str, Any]:
    statistics = {name: float(index) for index, name in enumerate(IntensityStatistics.model_fields)}
    return {
        "dataset_name": "Dataset001_Toy",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 1.0, 1.5],
        "original_median_shape_after_transp": [15, 30, 21],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [1, 0, 2],
        "transpose_backward": [1, 0, 2],
        "configurations": {"3d_fullres": copy.deepcopy(COMMON | (network or new_network()))},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": statistics, "1": statistics | {"mean": 9.0}},
    }


def full(content: dict[str, Any]) -> Any:
    return content["configurations"]["3d_fullres"]


def imported(content: dict[str, Any]) -> Plan:
    plan, notes = import_plan(json.loads(json.dumps(content)), source="plans.json")
    assert notes == ()
    return plan


def test_every_key_is_taken_over() -> None:
    plan = imported(theirs())
    assert (plan.name, plan.preset, plan.dataset, plan.iterations) == (
        "nnUNetPlans", "imported", "Dataset001_Toy", 250_000,
    )  # fmt: skip
    assert (plan.transpose, plan.intensities[0].median, plan.intensities[1].mean) == ((1, 0, 2), 1.0, 9.0)
    assert json.loads(plan.configuration("3d_fullres").model_dump_json()) == {
        "inherits_from": None,
        "previous_stage": None,
        "dimensions": 3,
        "spacing": [3.0, 1.0, 1.5],
        "target_size": None,
        "median_shape": [16, 30, 21],
        "patch_size": [16, 32, 24],
        "batch_size": 3,
        "batch_dice": True,
        "normalisation": [{"scheme": "ct", "use_mask": False}, {"scheme": "zscore", "use_mask": True}],
        "network": {
            "encoder": "plain",
            "features": [32, 64, 80],
            "kernels": KERNELS,
            "strides": STRIDES,
            "encoder_blocks": [2, 2, 2],
            "decoder_blocks": [1, 2],  # theirs goes from coarse to fine, ours from fine to coarse
            "skips": "concat",
            "activation": "leaky_relu",
            "transformer_layers": 0,
            "deep_supervision": True,
        },
        "mirror_axes": [0, 1, 2],
    }


@pytest.mark.parametrize("name", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_old_and_new_files_of_one_network_give_one_plan(name: str) -> None:
    assert imported(theirs(old_network(name))) == imported(theirs(new_network(name)))


def test_a_residual_encoder_keeps_its_blocks() -> None:
    network = imported(theirs(new_network("ResidualEncoderUNet"))).configuration("3d_fullres").network
    assert (network.encoder, network.encoder_blocks) == ("residual", (1, 3, 4))


def test_one_number_stands_for_every_stage_and_axis() -> None:
    content = theirs()
    arguments = full(content)["architecture"]["arch_kwargs"]
    arguments |= {"kernel_sizes": 3, "strides": [1, 2, [1, 2, 2]], "n_conv_per_stage": 2, "n_conv_per_stage_decoder": 1}
    network = imported(content).configuration("3d_fullres").network
    assert network.kernels == ((3, 3, 3),) * 3
    assert network.strides == ((1, 1, 1), (2, 2, 2), (1, 2, 2))
    assert (network.encoder_blocks, network.decoder_blocks) == ((2, 2, 2), (1, 1))


def test_a_cascade_and_heirs_are_imported_as_such() -> None:
    content = theirs()
    content["configurations"]["3d_lowres"] = {**full(content), "next_stage": "3d_cascade_fullres", "spacing": [6, 2, 3]}
    content["configurations"]["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    content["configurations"]["mine"] = {"inherits_from": "3d_cascade_fullres", "batch_size": 7}
    plan = imported(content)
    cascade, mine = plan.configuration("3d_cascade_fullres"), plan.configuration("mine")
    assert (cascade.previous_stage, cascade.inherits_from) == ("3d_lowres", "3d_fullres")
    assert (mine.batch_size, mine.previous_stage, mine.patch_size) == (7, "3d_lowres", (16, 32, 24))
    assert json.loads(plan.model_dump_json())["configurations"]["mine"] == {
        "inherits_from": "3d_cascade_fullres", "batch_size": 7,
    }  # fmt: skip
    assert Plan.parse(plan.model_dump_json(), source="text") == plan


def test_two_stages_are_not_deeply_supervised() -> None:
    content = theirs()
    arguments = full(content)["architecture"]["arch_kwargs"]
    arguments |= {"n_stages": 2, "features_per_stage": [32, 64], "kernel_sizes": KERNELS[:2], "strides": STRIDES[:2]}
    arguments |= {"n_conv_per_stage": 2, "n_conv_per_stage_decoder": 2}
    assert not imported(content).configuration("3d_fullres").network.deep_supervision


def test_a_file_may_turn_deep_supervision_off() -> None:
    content = theirs()
    full(content)["architecture"]["arch_kwargs"]["deep_supervision"] = False
    assert not imported(content).configuration("3d_fullres").network.deep_supervision


def test_a_mask_is_for_the_z_score_where_the_file_says_so() -> None:
    content = theirs()
    full(content)["use_mask_for_norm"] = [True, False]
    assert [one.use_mask for one in imported(content).configuration("3d_fullres").normalisation] == [False, False]


def test_the_first_releases_called_the_intensities_otherwise() -> None:
    content = theirs()
    statistics = content.pop("foreground_intensity_properties_per_channel")
    content["foreground_intensity_properties_by_modality"] = statistics
    assert imported(content) == imported(theirs())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resampling_fn_data_kwargs": {"order": 1}}, "3d_fullres: resampling_fn_data_kwargs: order not taken over"),
        ({"resampling_fn_seg": "resample_torch_fornnunet"}, "3d_fullres: resampling_fn_seg 'resample_torch_fornnunet'"),
        ({"my_own_key": 3}, "3d_fullres: not looked at: my_own_key"),
    ],
)
def test_what_is_done_otherwise_here_is_noted(changes: dict[str, Any], words: str) -> None:
    content = theirs()
    full(content).update(changes)
    (note,) = import_plan(content, source="plans.json").notes
    assert note.startswith(words)


def test_other_label_managers_and_readers_are_noted() -> None:
    content = theirs() | {"label_manager": "MyLabels", "image_reader_writer": "NibabelIOWithReorient"}
    one, two = import_plan(content, source="plans.json").notes
    assert "label_manager 'MyLabels'" in one
    assert "NibabelIOWithReorient" in two


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dropout_op": "torch.nn.Dropout3d", "dropout_op_kwargs": {"p": 0.2}}, "dropout_op"),
        ({"dropout_op": "torch.nn.Dropout3d"}, "dropout_op"),
        ({"norm_op": "torch.nn.modules.batchnorm.BatchNorm3d"}, "norm_op 'torch.nn.modules.batchnorm.BatchNorm3d'"),
        ({"norm_op": None}, "norm_op"),
        ({"norm_op_kwargs": {"eps": 1e-3, "affine": True}}, "norm_op_kwargs"),
        ({"norm_op_kwargs": {"affine": False}}, "norm_op_kwargs"),
        ({"norm_op_kwargs": {"eps": 1e-5}}, "norm_op_kwargs"),  # torch's own default is not to have an affine
        ({"norm_op_kwargs": None}, "norm_op_kwargs"),
        ({"nonlin": "torch.nn.ReLU"}, "nonlin 'torch.nn.ReLU'"),
        ({"nonlin_kwargs": {"negative_slope": 0.2}}, "nonlin_kwargs"),
        ({"conv_op": "torch.nn.modules.conv.Conv2d"}, "conv_op"),
        ({"squeeze_excitation": True}, "arch_kwargs 'squeeze_excitation'"),
        ({"stochastic_depth_p": 0.1}, "arch_kwargs 'stochastic_depth_p'"),
        ({"bottleneck_channels": [8, 8, 8]}, "arch_kwargs 'bottleneck_channels'"),
        ({"n_conv_per_stage": None}, "n_blocks_per_stage"),
        ({"n_stages": 10**9, "n_conv_per_stage": 2}, "n_stages.*less than or equal to 32"),
        ({"n_stages": 4}, "features_per_stage has 3 entries for n_stages 4"),
        ({"n_conv_per_stage": [2, 2]}, "encoder_blocks has 2 entries for 3 stages"),
        ({"kernel_sizes": [[3, 3]] * 3}, "as many numbers as"),
        ({"features_per_stage": [32, -1, 2]}, "features_per_stage"),
        ({"strides": [[2, 2, 2], [1, 2, 2], [2, 2, 2]]}, "all ones"),
        ({"kernel_sizes": [[2, 2, 2]] * 3}, "odd"),
    ],
)
def test_a_network_that_ours_cannot_be_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    content = theirs()
    full(content)["architecture"]["arch_kwargs"].update(changes)
    with pytest.raises(UserError, match=words) as raised:
        import_plan(content, source="plans.json")
    assert "3d_fullres" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_dropout_that_drops_nothing_and_arguments_that_ask_for_nothing_are_accepted() -> None:
    content = theirs()
    arguments = full(content)["architecture"]["arch_kwargs"]
    arguments |= {"dropout_op": "torch.nn.Dropout3d", "dropout_op_kwargs": {"p": 0}, "stochastic_depth_p": 0.0}
    assert imported(content) == imported(theirs())


@pytest.mark.parametrize("name", ["os.system", "evil.PlainConvUNet", UNET + "ResidualUNet", "PlainConvUNet; rm -rf"])
def test_a_class_that_we_do_not_know_is_refused_and_never_imported(name: str) -> None:
    content = theirs()
    full(content)["architecture"]["network_class_name"] = name
    with pytest.raises(UserError, match="has no counterpart here") as raised:
        import_plan(content, source="plans.json")
    assert name in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preprocessor_name": "MyPreprocessor"}, "preprocessor_name 'MyPreprocessor'"),
        ({"resampling_fn_data": "no_resampling_data_or_seg_to_shape"}, "resampling_fn_data 'no_resampling"),
        ({"normalization_schemes": ["MinMax", "MinMax"]}, "normalization_schemes has 'MinMax'"),
        ({"normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [False]}, "1 entries for 2 channels"),
        ({"use_mask_for_norm": [False]}, "use_mask_for_norm"),
        ({"patch_size": [16, 32]}, "conv_op"),
        ({"patch_size": [16, 32, 25]}, "divisible by"),
        ({"patch_size": [16, 32, 24, 8]}, "patch_size"),
        ({"patch_size": [10**400, 32, 24]}, "patch_size"),
        ({"patch_size": "16"}, "patch_size"),
        ({"spacing": [0, 1, 1]}, "spacing"),
        ({"spacing": [float("nan"), 1, 1]}, "spacing"),
        ({"batch_size": 0}, "batch_size"),
        ({"inherits_from": "nobody"}, "'nobody', which the file lacks"),
        ({"inherits_from": "3d_fullres"}, "inherits from itself"),
        ({"inherits_from": 3}, "inherits_from"),
        ({"previous_stage": "3d_lowres"}, "'3d_lowres', which the plan lacks"),
        ({"architecture": None}, "UNet_class_name' is missing"),
        ({"architecture": {"network_class_name": 3}}, "architecture"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_by_key(changes: dict[str, Any], words: str) -> None:
    content = theirs()
    full(content).update(changes)
    with pytest.raises(UserError, match=words) as raised:
        import_plan(content, source="plans.json")
    assert str(raised.value).startswith("plans.json")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transpose_forward": [0, 0, 1]}, "transpose"),
        ({"transpose_forward": [0, 1]}, "transpose_forward"),
        ({"configurations": []}, "configurations"),
        ({"configurations": {"2d": 3}}, "configurations.2d"),
        ({"configurations": {}}, "no configuration"),
        ({"foreground_intensity_properties_per_channel": {}}, "foreground_intensity_properties_per_channel"),
        ({"foreground_intensity_properties_per_channel": {"0": {"mean": 1}}}, "median' is missing"),
        ({"dataset_name": None}, "dataset_name"),
    ],
)
def test_a_file_that_cannot_be_a_plan_is_refused_by_key(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        import_plan(theirs() | changes, source="plans.json")


def test_a_configuration_cannot_lead_out_of_its_folder() -> None:
    content = theirs()
    content["configurations"]["../../outside"] = {"inherits_from": "3d_fullres"}
    with pytest.raises(UserError, match=r"configuration '../../outside': a name has letters"):
        import_plan(content, source="plans.json")


def test_channels_are_numbered_from_zero() -> None:
    content = theirs()
    statistics = content["foreground_intensity_properties_per_channel"]
    statistics["2"] = statistics.pop("1")
    with pytest.raises(UserError, match="number its channels from 0, got 0, 2"):
        import_plan(content, source="plans.json")
