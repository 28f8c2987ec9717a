"""Presets by name."""

from __future__ import annotations

import pytest

from autodiffseg.errors import UserError
from autodiffseg.planners.presets import CPU, DEFAULT, RESIDUAL_L, find_preset


def test_presets_are_found_by_name() -> None:
    assert find_preset("cpu") is CPU
    assert find_preset("default") is DEFAULT
    assert CPU.limits(2) is CPU.two
    assert CPU.limits(3) is CPU.three


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"Unknown preset 'cpuu'. Did you mean 'cpu'\? Known: cpu, default, residual-l"):
        find_preset("cpuu")


def test_residual_encoders_grow_as_nnunets_do() -> None:
    assert RESIDUAL_L.blocks(7) == (1, 3, 4, 6, 6, 6, 6)
    assert RESIDUAL_L.blocks(2) == (1, 3)
    assert DEFAULT.blocks(3) == (2, 2, 2)


def test_budgets_scale_with_the_card() -> None:
    two_gigabytes = DEFAULT.scaled_to(2)
    assert (two_gigabytes.three.budget, two_gigabytes.two.budget) == (140e6, 21.25e6)
    assert RESIDUAL_L.scaled_to(24) == RESIDUAL_L
    with pytest.raises(UserError, match="made for a CPU"):
        CPU.scaled_to(8)
