"""Conditions of a fair comparison, read from the records."""

from __future__ import annotations

from typing import Any

from autodiffseg.report.conditions import conditions

from .conftest import compared

RECORD = {
    "plan": "cpu", "plan_hash": "1", "configuration": "3d_fullres", "iterations_done": 5000, "device": "cpu",
    "options": {"learning_rate": 0.1}, "precision": "fp32", "hardware": "two cores", "git_revision": "12",
    "versions": {"torch": "2"},
}  # fmt: skip


def facts(passes: int = 1, checkpoint: str = "last", **changes: Any) -> dict[str, Any]:
    runs = [{"folder": "x", "folds": {"0": RECORD | changes}}]
    return {"runs": runs, "numbers": {"passes": [passes]}, "checkpoints": [checkpoint]}


def answers(**rows: dict[str, Any]) -> dict[str, tuple[bool | None, str]]:
    scores = {name: [0.5 + i / 100 for i in range(8)] for name in rows}
    return {condition.what: (condition.holds, condition.detail) for condition in conditions(compared(scores, **rows))}


def test_runs_that_are_alike_meet_every_condition_but_the_number_of_trainings() -> None:
    found = answers(a=facts(), b=facts())
    assert [what for what, (holds, _) in found.items() if holds is not True] == [
        "Every row was trained 3 times or more"
    ]


def test_each_difference_is_seen_and_named() -> None:
    changes: dict[str, dict[str, Any]] = {
        "Same plan": {"plan_hash": "2"},
        "Same configuration": {"configuration": "2d"},
        "Same number of updates": {"iterations_done": 4000},
        "Same training options": {"options": {"learning_rate": 0.2}},
        "Same precision and machine": {"precision": "bf16"},
        "Same code": {"git_revision": "13"},
        "Same versions of the libraries": {"versions": {"torch": "3"}},
        "Same number of network calls per patch in prediction": {"passes": 5},
        "No checkpoint was chosen on these cases": {"checkpoint": "best"},
    }
    for what, change in changes.items():
        found = answers(a=facts(), b=facts(**change))
        assert [name for name, (holds, _) in found.items() if holds is False] == [what, list(found)[-1]]
    assert "a: 5,000; b: 4,000" in answers(a=facts(), b=facts(iterations_done=4000))["Same number of updates"][1]


def test_folds_of_one_row_that_differ_are_a_difference() -> None:
    mixed = facts()
    mixed["runs"][0]["folds"]["1"] = RECORD | {"plan_hash": "2", "iterations_done": 4000}
    found = answers(a=mixed, b=mixed)
    assert found["Same plan"][0] is found["Same number of updates"][0] is False
    assert found["Same number of updates"][1] == "a: 4,000, 5,000; b: 4,000, 5,000"
    assert found["Same code"] == (True, "12")


def test_what_another_program_does_not_say_is_unknown() -> None:
    found = answers(a=facts(), other={"kind": "external"})
    assert found["Same plan"][0] is None
    assert "not known of other" in found["Same plan"][1]
    assert found["Same versions of the libraries"] == (None, "all alike; not known of other")
    assert found["No checkpoint was chosen on these cases"][0] is None
    assert found["Every row was trained 3 times or more"][1].startswith("fewer: a.")
    assert found["All rows are scored on the same cases"][0] is True


def test_options_that_only_one_trainer_has_are_no_difference() -> None:
    found = answers(a=facts(), b=facts(options={"learning_rate": 0.1, "noise_weight": 2}))
    assert found["Same training options"] == (True, "1 options that all have")


def test_between_programs_that_say_nothing_everything_but_the_cases_is_unknown() -> None:
    found = answers(one={"kind": "external"}, other={"kind": "external"})
    assert [what for what, (holds, _) in found.items() if holds] == list(found)[:2]
    assert not [what for what, (holds, _) in found.items() if holds is False]
