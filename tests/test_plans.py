"""Plans: every edit that cannot work is refused when the file is read, with the key's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.plans import Plan
from autodiffseg.workspace import Workspace


def content() -> dict[str, Any]:
    """A plan of one configuration, as JSON."""
    network = {
        "features": [4, 8],
        "kernels": [[3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [1, 2, 2]],
        "encoder_blocks": [2, 2],
        "decoder_blocks": [2],
    }
    configuration = {
        "dimensions": 3,
        "spacing": [1, 1, 1],
        "median_shape": [9, 9, 9],
        "patch_size": [9, 8, 8],
        "batch_size": 2,
        "batch_dice": False,
        "normalisation": [{"scheme": "zscore"}],
        "network": network,
        "mirror_axes": [0, 1, 2],
    }
    return {
        "name": "cpu",
        "preset": "cpu",
        "dataset": "Dataset001_Toy",
        "fingerprint_hash": "abc",
        "transpose": [2, 0, 1],
        "intensities": [dict.fromkeys(IntensityStatistics.model_fields, 0.0)],
        "configurations": {"3d": configuration},
        "iterations": 10,
    }


def parsed(value: dict[str, Any]) -> Plan:
    return Plan.parse(json.dumps(value), source="plan")


def test_a_plan_survives_writing_and_reading(tmp_path: Path) -> None:
    plan = parsed(content())
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan
    assert [plan.transpose[axis] for axis in plan.transpose_back] == [0, 1, 2]


def test_a_plan_saved_by_an_editor_on_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(content()).encode())
    assert Plan.load(tmp_path / "plan.json") == parsed(content())


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("patch_size", [9, 9, 8], "divisible by"),
        ("patch_size", [9, 8], "patch_size needs 3"),
        ("batch_size", 0, "batch_size"),
        ("patch_size", [1, 2, 2], "leaves one voxel to the last stage"),
        ("mirror_axes", [3], "mirror_axes"),
        ("mirror_axes", [1, 1], "each once"),
        ("spacing", [1, 1, float("nan")], "finite number"),
        ("patchsize", [8, 8, 8], "patchsize"),
    ],
)
def test_an_edit_that_cannot_work_is_refused(key: str, value: Any, words: str) -> None:
    plan = content()
    plan["configurations"]["3d"][key] = value
    with pytest.raises(UserError, match=words):
        parsed(plan)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("strides", [[1, 1], [2, 2]], "as many numbers"),
        ("kernels", [[3, 3, 3]], "kernels has 1 entries"),
        ("decoder_blocks", [2, 2], "decoder_blocks"),
        ("encoder", "dense", "encoder"),
        ("kernels", [[3, 3, 3], [2, 3, 3]], "kernels must be odd"),
        ("strides", [[1, 2, 1], [1, 2, 2]], "all ones"),
        ("features", [4, 0], "features.1"),
        ("features", [4], "at least 2 items"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(key: str, value: Any, words: str) -> None:
    plan = content()
    plan["configurations"]["3d"]["network"][key] = value
    with pytest.raises(UserError, match=words):
        parsed(plan)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("transpose", [0, 0, 1], "transpose must hold 0, 1 and 2 once each"),
        ("intensities", [], "configuration '3d': normalisation has 1 entries for 0 channels"),
        ("iterations", 0, "iterations"),
        ("configurations", {}, "at least 1 item"),
        ("diffusion", {"sampling_steps": 11, "base_steps": 10}, "more than the 10 base_steps"),
        ("diffusion", {"schedule": "exponential"}, "diffusion.schedule': .*'linear', 'quadratic'"),
        ("diffusion", {"eta": 1.5}, "diffusion.eta': .*less than or equal to 1"),
        ("diffusion", {"log_snr_shift": float("nan")}, "diffusion.log_snr_shift.*finite number"),
        ("diffusion", {"log_snr_shift": float("-inf")}, "diffusion.log_snr_shift.*finite number"),
    ],
)
def test_a_plan_whose_parts_contradict_each_other_is_refused(key: str, value: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parsed(content() | {key: value})


@pytest.mark.parametrize("name", ["../outside", "a/b", "a__b", "", ".hidden", "a\n"])
def test_a_configuration_whose_name_cannot_name_a_folder_is_refused(name: str) -> None:
    plan = content()
    plan["configurations"][name] = {"inherits_from": "3d"}
    with pytest.raises(UserError, match="a name has letters"):
        parsed(plan)


def test_attention_needs_features_for_its_heads() -> None:
    plan = content()
    plan["configurations"]["3d"]["network"] |= {"transformer_layers": 1, "features": [4, 12]}
    with pytest.raises(UserError, match="multiple of 8"):
        parsed(plan)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder": "plain", "decoder_blocks": [3, 3]}, "skips 'add' needs encoder 'residual', got 'plain'"),
        ({"decoder_blocks": [3]}, r"decoder_blocks must be \(3, 3\) with skips 'add'"),
        ({"decoder_blocks": [3, 2]}, r"decoder_blocks must be \(3, 3\) with skips 'add'"),
        ({"skips": "sum"}, "skips"),
    ],
)
def test_added_skips_need_a_residual_encoder_and_a_block_for_each(change: dict[str, object], words: str) -> None:
    plan = content()
    plan["configurations"]["3d"]["network"] |= {"skips": "add", "encoder": "residual", **change}
    with pytest.raises(UserError, match=words):
        parsed(plan)
    plan["configurations"]["3d"]["network"] |= {"skips": "add", "encoder": "residual", "decoder_blocks": [3, 3]}
    assert parsed(plan).configuration("3d").network.activation == "leaky_relu"


def test_a_plan_from_before_skips_could_be_added_means_concatenation() -> None:
    network = parsed(content()).configuration("3d").network
    assert (network.skips, network.activation) == ("concat", "leaky_relu")


def test_data_are_shared_by_plans_that_differ_in_patch_batch_or_network() -> None:
    other = content()
    other["configurations"]["3d"] |= {"patch_size": [5, 4, 4], "batch_size": 7}
    assert parsed(other).data_id("3d") == parsed(content()).data_id("3d")
    other["configurations"]["3d"]["spacing"] = [2, 1, 1]
    assert parsed(other).data_id("3d") != parsed(content()).data_id("3d")


def test_a_child_with_another_spacing_has_data_of_its_own_name() -> None:
    plan = content()
    plan["configurations"]["coarse"] = {"inherits_from": "3d", "spacing": [2, 1, 1]}
    assert parsed(plan).data_id("coarse").startswith("coarse-")


def test_another_target_size_has_other_data() -> None:
    plan = content()
    flat = {"dimensions": 2, "spacing": [1, 1], "median_shape": [9, 9], "patch_size": [8, 8], "mirror_axes": []}
    network = plan["configurations"]["3d"]["network"] | {"kernels": [[3, 3]] * 2, "strides": [[1, 1], [2, 2]]}
    plan["configurations"]["2d"] = plan["configurations"]["3d"] | flat | {"network": network}
    names = set()
    for size in (None, [64, 64], [64, 48]):
        plan["configurations"]["2d"]["target_size"] = size
        names.add(parsed(plan).data_id("2d"))
    assert len(names) == 3


def test_a_copied_plan_is_called_by_its_file(tmp_path: Path) -> None:
    parsed(content()).save(Workspace(tmp_path).plan_path("Dataset001_Toy", "mine"))
    assert Workspace(tmp_path).plan("Dataset001_Toy", "mine").name == "mine"


def test_an_unknown_configuration_is_told_with_those_there_are() -> None:
    with pytest.raises(UserError, match="no configuration '2d'; it has: 3d"):
        parsed(content()).configuration("2d")


def test_a_cascade_is_written_as_what_it_adds_and_shares_its_parents_data() -> None:
    plan = content()
    plan["configurations"]["low"] = {**plan["configurations"]["3d"], "spacing": [2, 2, 2]}
    plan["configurations"]["cascade"] = {"inherits_from": "3d", "previous_stage": "low"}
    read = parsed(plan)
    assert json.loads(read.model_dump_json())["configurations"]["cascade"] == plan["configurations"]["cascade"]
    assert parsed(json.loads(read.model_dump_json())) == read
    assert read.configuration("cascade").patch_size == read.configuration("3d").patch_size
    assert read.data_id("cascade") == read.data_id("3d") != read.data_id("low")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inherits_from": "3d", "previous_stage": "low"}, "'low', which the plan lacks"),
        ({"inherits_from": "3d", "previous_stage": "child"}, "part of a cascade itself"),
        ({"inherits_from": "4d"}, "'4d', which the plan lacks"),
        ({"inherits_from": "3d", "target_size": [8, 8]}, "target_size is for 2D"),
        ({"inherits_from": "3d", "patch_size": [9, 9, 8]}, "configurations.child.*divisible by"),
    ],
)
def test_a_child_that_cannot_work_is_refused(changes: dict[str, Any], words: str) -> None:
    plan = content()
    plan["configurations"]["child"] = changes
    with pytest.raises(UserError, match=words):
        parsed(plan)
