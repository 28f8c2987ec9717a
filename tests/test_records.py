"""What is said of a broken record: one line that names the file, the key and the cure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.plans import Plan
from autodiffseg.workspace import Workspace


@pytest.fixture
def content(planned_phantom: Path) -> dict[str, Any]:
    path = Workspace(planned_phantom).plan_path("Dataset900_Phantom", "cpu")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def complaint(content: object, folder: Path) -> str:
    path = folder / "mine.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError) as raised:
        Plan.load(path)
    assert str(raised.value).startswith(str(path))
    return str(raised.value).removeprefix(f"{path}: ")


def test_an_unknown_key_is_told_with_the_nearest_known_one(content: dict[str, Any], tmp_path: Path) -> None:
    content["configurations"]["3d_fullres"]["patchsize"] = [8, 8, 8]
    told = complaint(content, tmp_path)
    assert told == "key 'configurations.3d_fullres.patchsize' is unknown; did you mean 'patch_size'?"


@pytest.mark.parametrize(
    ("place", "near"),
    [
        (("iteration",), "iterations"),
        (("diffusion", "sampling_step"), "sampling_steps"),
        (("intensities", 0, "percentile_99_50"), "percentile_99_5"),
        (("configurations", "2d", "network", "stride"), "strides"),
        (("configurations", "2d", "normalisation", 0, "use_masks"), "use_mask"),
    ],
)
def test_the_nearest_key_is_one_of_the_same_record(
    content: dict[str, Any], tmp_path: Path, place: tuple[Any, ...], near: str
) -> None:
    at: Any = content
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = 1
    dotted = ".".join(map(str, place))
    assert complaint(content, tmp_path) == f"key '{dotted}' is unknown; did you mean '{near}'?"


def test_a_key_like_no_other_is_told_with_all_known_ones(content: dict[str, Any], tmp_path: Path) -> None:
    content["configurations"]["2d"]["normalisation"][0]["xyz"] = 1
    assert "'configurations.2d.normalisation.0.xyz' is unknown; known are scheme, use_mask." in complaint(
        content, tmp_path
    )


def test_a_missing_key_does_not_bring_the_whole_plan_with_it(content: dict[str, Any], tmp_path: Path) -> None:
    del content["configurations"]["3d_fullres"]["batch_size"]
    assert complaint(content, tmp_path) == "key 'configurations.3d_fullres.batch_size' is missing."


def test_a_rule_between_keys_names_the_configuration_and_the_values(content: dict[str, Any], tmp_path: Path) -> None:
    content["configurations"]["mine"] = {"inherits_from": "3d_fullres", "patch_size": [3, 8, 8]}
    told = complaint(content, tmp_path)
    assert told.startswith("key 'configurations.mine': patch_size (3, 8, 8) must be divisible by")
    assert "got {" not in told


def test_a_wrong_value_is_shown_once(content: dict[str, Any], tmp_path: Path) -> None:
    content["iterations"] = -5
    assert "key 'iterations': " in (told := complaint(content, tmp_path))
    assert told.endswith("(got -5).")


@pytest.mark.parametrize("version", [2, 0, "next"])
def test_a_plan_of_another_schema_is_refused_in_one_line(content: dict[str, Any], tmp_path: Path, version: Any) -> None:
    content |= {"schema_version": version, "something_new": 1}
    told = complaint(content, tmp_path)
    assert told.startswith(f"the plan has schema_version {version!r}, this version of autodiffseg reads 1; install")
    assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "not valid JSON"),
        ("[1]", "Input should be an object with keys (got [1])."),
    ],
)
def test_what_is_no_plan_at_all_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in complaint(text, tmp_path)


@pytest.mark.parametrize(
    ("configuration", "key"),
    [(3, "configurations.a"), ([], "configurations.a"), ({"inherits_from": ["b"]}, "configurations.a.inherits_from")],
)
def test_a_configuration_that_is_none_is_refused(
    content: dict[str, Any], tmp_path: Path, configuration: Any, key: str
) -> None:
    content["configurations"]["a"] = configuration
    assert complaint(content, tmp_path).startswith(f"key '{key}': Input should be")


def test_a_misspelt_key_is_not_called_a_missing_one(content: dict[str, Any], tmp_path: Path) -> None:
    own = content["configurations"]["2d"]
    own["batchsize"] = own.pop("batch_size")
    assert "'batch_size'?" in complaint(content, tmp_path)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1, None], "key 'labels.organ.1': Input should be a valid integer (got None)."),
        (None, "key 'labels.organ': Input should be a valid integer (got None)."),
    ],
)
def test_a_key_of_several_types_is_told_without_them(value: Any, words: str) -> None:
    content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": value}, "file_ending": ".png"}
    with pytest.raises(UserError) as raised:
        DatasetJson.check(content, source="dataset.json")
    assert str(raised.value) == f"dataset.json: {words}"
