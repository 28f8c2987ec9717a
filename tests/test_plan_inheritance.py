"""Configurations that inherit: what is written, what is read, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.plan_inheritance import inherited, own_part

PARENT = {"batch_size": 2, "network": {"features": [4, 8], "deep_supervision": True}}
values = st.one_of(st.none(), st.integers(0, 3), st.lists(st.integers(0, 3), max_size=2))
keys = st.sampled_from("abc")
records = st.dictionaries(keys, st.one_of(values, st.dictionaries(keys, values, max_size=3)), max_size=3)


def test_a_child_has_its_own_keys_and_the_rest_of_its_parent() -> None:
    child = {"inherits_from": "p", "network": {"deep_supervision": False}}
    whole = inherited({"c": child, "p": PARENT})
    assert whole["c"] == {
        "inherits_from": "p",
        "batch_size": 2,
        "network": {"features": [4, 8], "deep_supervision": False},
    }
    assert whole["p"] == PARENT


def test_a_grandchild_inherits_through_its_parent() -> None:
    whole = inherited({"p": PARENT, "c": {"inherits_from": "p", "batch_size": 3}, "g": {"inherits_from": "c"}})
    assert (whole["g"]["batch_size"], whole["g"]["inherits_from"]) == (3, "c")


@pytest.mark.parametrize(
    ("configurations", "words"),
    [
        ({"c": {"inherits_from": "c"}}, "inherits from itself"),
        ({"c": {"inherits_from": "d"}, "d": {"inherits_from": "c"}}, "inherits from itself"),
        ({"c": {"inherits_from": "p"}}, "'p', which the plan lacks"),
    ],
)
def test_a_line_of_descent_without_a_beginning_is_refused(configurations: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        inherited(configurations)


@given(records, records)
def test_what_is_written_gives_what_was_read(parent: dict[str, Any], own: dict[str, Any]) -> None:
    read = inherited({"p": parent, "c": {"inherits_from": "p", **own}})["c"]
    written = own_part(read, parent)
    assert inherited({"p": parent, "c": written})["c"] == read
    assert len(json.dumps(written)) <= len(json.dumps(read))
