"""What users type for modes and mirror axes."""

from __future__ import annotations

import pytest

from autodiffseg.errors import UserError
from autodiffseg.trainers.prediction_options import read_mirror_axes, read_mode


@pytest.mark.parametrize(("text", "axes"), [(None, None), ("none", ()), ("0", (0,)), ("0,2", (0, 2))])
def test_mirror_axes_are_numbers_or_none(text: str | None, axes: tuple[int, ...] | None) -> None:
    assert read_mirror_axes(text, mirroring=True) == axes


@pytest.mark.parametrize("text", ["", "x", "0;1", "1,", "-1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--mirror-axes .*such as 0,2, or none"):
        read_mirror_axes(text, mirroring=True)


def test_axes_without_mirroring_contradict_each_other() -> None:
    with pytest.raises(UserError, match="--mirror-axes 0 and --no-mirroring"):
        read_mirror_axes("0", mirroring=False)
    assert read_mirror_axes(None, mirroring=False) is None


def test_a_mode_is_one_of_three() -> None:
    assert read_mode("volume") == "volume"
    with pytest.raises(UserError, match="--mode tiles: tile, synchronised and volume are possible"):
        read_mode("tiles")
