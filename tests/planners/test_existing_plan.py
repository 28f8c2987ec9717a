"""A plan file that is there: kept, replaced or refused; configurations of one's own stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.planners.existing_plan import Choice, choose_plan
from autodiffseg.plans import Plan

STATISTICS = dict.fromkeys(IntensityStatistics.model_fields, 0.0)


def configuration(patch: int = 8) -> dict[str, Any]:
    """A 2D configuration whose patch is `patch` pixels wide."""
    network = {
        "features": [4, 8],
        "kernels": [[3, 3], [3, 3]],
        "strides": [[1, 1], [2, 2]],
        "encoder_blocks": [1, 1],
        "decoder_blocks": [1],
    }
    return {
        "dimensions": 2,
        "spacing": [1, 1],
        "median_shape": [9, 9],
        "patch_size": [8, patch],
        "batch_size": 2,
        "batch_dice": True,
        "normalisation": [{"scheme": "zscore"}],
        "network": network,
        "mirror_axes": [0, 1],
    }


def plan(raw: str = "old", iterations: int = 10, **configurations: dict[str, Any]) -> Plan:
    content = {
        "name": "default",
        "preset": "default",
        "dataset": "Dataset001_Toy",
        "fingerprint_hash": raw,
        "transpose": (0, 1, 2),
        "intensities": [STATISTICS],
        "configurations": configurations or {"2d": configuration()},
        "iterations": iterations,
    }
    return Plan.check(content, source="plan")


def saved(folder: Path, existing: Plan, **own: dict[str, Any]) -> Path:
    """A plan file with `own` configurations written into it by hand."""
    path = folder / "default.json"
    content = existing.model_dump(mode="json")
    content["configurations"] |= own
    path.write_text(json.dumps(content))
    return path


def written(choice: Choice) -> dict[str, Any]:
    assert choice.text is not None
    assert Plan.parse(choice.text, source="text") == choice.plan
    found: dict[str, Any] = json.loads(choice.text)["configurations"]
    return found


def test_a_new_plan_is_written(tmp_path: Path) -> None:
    choice = choose_plan(tmp_path / "default.json", plan(), before=None, overwrite=False)
    assert (choice.plan, choice.note) == (plan(), "")
    assert written(choice) == plan().model_dump(mode="json")["configurations"]


def test_the_same_plan_is_left_alone(tmp_path: Path) -> None:
    choice = choose_plan(saved(tmp_path, plan()), plan(), before=None, overwrite=False)
    assert choice == (plan(), True, None, "")


def test_an_edited_plan_is_kept_and_said(tmp_path: Path) -> None:
    choice = choose_plan(saved(tmp_path, plan(iterations=99)), plan(), before=None, overwrite=False)
    assert (choice.plan.iterations, choice.is_planned, choice.text) == (99, False, None)
    assert "it is kept. --overwrite replaces it" in choice.note


def test_a_copied_plan_is_called_by_its_file(tmp_path: Path) -> None:
    copied = saved(tmp_path, plan(iterations=99)).rename(tmp_path / "mine.json")
    choice = choose_plan(copied, plan().model_copy(update={"name": "mine"}), before=None, overwrite=False)
    assert (choice.plan.name, choice.plan.iterations) == ("mine", 99)


@pytest.mark.parametrize("option", ["--preset", "--target-size"])
def test_what_was_asked_for_is_not_passed_over(tmp_path: Path, option: str) -> None:
    new = plan(iterations=99).model_copy(update={"preset": "cpu"})
    with pytest.raises(UserError, match=f"differs from what {option} would give"):
        choose_plan(saved(tmp_path, plan()), new, before=None, overwrite=False, asked=[option])


def test_an_edited_plan_is_kept_where_its_own_preset_is_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path, plan(iterations=99))
    assert choose_plan(path, plan(), before=None, overwrite=False, asked=["--preset"]).plan.iterations == 99


def test_overwrite_replaces_an_edited_plan(tmp_path: Path) -> None:
    choice = choose_plan(saved(tmp_path, plan(iterations=99)), plan(), before=None, overwrite=True)
    assert choice.plan == plan()
    assert written(choice)


def test_an_unedited_plan_follows_changed_raw_data(tmp_path: Path) -> None:
    choice = choose_plan(saved(tmp_path, plan()), plan(raw="new"), before=plan(), overwrite=False)
    assert choice.plan.fingerprint_hash == "new"
    assert choice.note == "The raw data have changed: the plan is made anew."


def test_an_edited_plan_of_other_raw_data_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, plan(iterations=99))
    with pytest.raises(UserError, match=r"default\.json was made for other raw data"):
        choose_plan(path, plan(raw="new"), before=plan(), overwrite=False)
    assert Plan.load(path).iterations == 99


def test_a_configuration_of_ones_own_is_no_edit(tmp_path: Path) -> None:
    path = saved(tmp_path, plan(), mine={"inherits_from": "2d", "batch_size": 5})
    choice = choose_plan(path, plan(), before=None, overwrite=False)
    assert (choice.is_planned, choice.text, choice.note) == (True, None, "")
    assert choice.plan.configuration("mine").batch_size == 5


@pytest.mark.parametrize("overwrite", [False, True])
def test_it_survives_a_new_plan_and_follows_its_new_parent(tmp_path: Path, overwrite: bool) -> None:
    own = {"mine": {"inherits_from": "2d", "batch_size": 5}, "wider": {"inherits_from": "mine", "network": {}}}
    path = saved(tmp_path, plan(), **own)
    new = plan(raw="new", **{"2d": configuration(patch=16)})
    choice = choose_plan(path, new, before=plan(), overwrite=overwrite)
    assert choice.plan.configuration("mine").patch_size == (8, 16)
    assert choice.plan.configuration("wider").batch_size == 5
    assert list(choice.plan.configurations) == ["2d", "mine", "wider"]
    assert choice.note.endswith("Its own configurations are kept: mine, wider.")
    assert {name: one for name, one in written(choice).items() if name != "2d"} == own


def test_what_is_written_in_it_stays_written_even_where_the_parent_agrees(tmp_path: Path) -> None:
    path = saved(tmp_path, plan(), mine={"inherits_from": "2d", "patch_size": [8, 16]})
    wide = plan(raw="new", **{"2d": configuration(patch=16)})
    choice = choose_plan(path, wide, before=plan(), overwrite=False)
    assert choice.text is not None
    path.write_text(choice.text)
    narrow = choose_plan(path, plan(raw="newer"), before=wide, overwrite=False)
    assert narrow.plan.configuration("mine").patch_size == (8, 16)


def test_what_planning_no_longer_makes_goes(tmp_path: Path) -> None:
    before = plan(**{"2d": configuration(), "3d_lowres": configuration()})
    choice = choose_plan(saved(tmp_path, before), plan(raw="new"), before=before, overwrite=False)
    assert list(choice.plan.configurations) == ["2d"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"inherits_from": "3d_lowres"}, "'mine' inherits from '3d_lowres', which the plan lacks"),
        ({"inherits_from": "2d", "network": {"strides": [[1, 1], [4, 4]]}}, r"configurations.mine.*divisible by"),
    ],
)
def test_one_that_does_not_fit_the_new_plan_is_named_and_nothing_changes(
    tmp_path: Path, own: dict[str, Any], words: str, overwrite: bool
) -> None:
    before = plan(**{"2d": configuration(), "3d_lowres": configuration()})
    path = saved(tmp_path, before, mine=own)
    text = path.read_text()
    new = plan(raw="new", **{"2d": configuration(patch=10)})
    with pytest.raises(UserError, match=words) as raised:
        choose_plan(path, new, before=before, overwrite=overwrite)
    assert str(raised.value).startswith(f"{path}: its own configurations do not fit the new plan: ")
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["[]", '{"configurations": 3}'])
def test_a_file_that_is_no_plan_is_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "default.json").write_text(text)
    with pytest.raises(UserError, match="is no plan; mend or delete it"):
        choose_plan(tmp_path / "default.json", plan(), before=None, overwrite=True)
