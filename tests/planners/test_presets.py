"""Presets by name."""

from __future__ import annotations

import pytest

from autodiffseg.errors import UserError
from autodiffseg.planners.presets import CPU, DEFAULT, find_preset


def test_presets_are_found_by_name() -> None:
    assert find_preset("cpu") is CPU
    assert find_preset("default") is DEFAULT
    assert CPU.limits(2) is CPU.two
    assert CPU.limits(3) is CPU.three


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"Unknown preset 'cpuu'. Did you mean 'cpu'\? Known: cpu, default"):
        find_preset("cpuu")
