"""Predictions in another orientation are refused, those that merely lie elsewhere are told once."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.cli import run
from autodiffseg.errors import UserError
from autodiffseg.evaluation.placement import has_other_axes, require_same_orientation
from autodiffseg.geometry import Geometry
from autodiffseg.images import write_image

IDENTITY = np.eye(3)


def grid(
    direction: np.ndarray, shape: tuple[int, int, int] = (4, 4, 4), origin: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> Geometry:
    return Geometry(shape=shape, spacing=(1.0, 1.0, 1.0), origin=origin, direction=tuple(map(float, direction.ravel())))


def turn(degrees: float) -> np.ndarray:
    """A rotation about z."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def pair(folder: Path, place: Geometry) -> tuple[Path, Path]:
    """A prediction on a grid, and a reference on the plain one."""
    array = np.ones(place.shape, dtype=np.uint8)
    write_image(folder / "pred" / "a.nii.gz", array, place)
    write_image(folder / "ref" / "a.nii.gz", array, grid(IDENTITY, place.shape))
    return folder / "pred" / "a.nii.gz", folder / "ref" / "a.nii.gz"


@pytest.mark.parametrize(
    ("direction", "other"),
    [
        (IDENTITY, False),
        (np.diag([-1.0, -1.0, 1.0]), True),
        (np.diag([1.0, 1.0, -1.0]), True),
        (IDENTITY[:, [1, 0, 2]], True),
        (turn(20), False),
        (turn(80), True),
    ],
)
def test_axes_are_other_when_permuted_or_flipped_in_oblique_grids_too(direction: np.ndarray, other: bool) -> None:
    for tilt in (IDENTITY, turn(33)):
        assert has_other_axes(grid(tilt @ direction), grid(tilt)) is other


def test_an_axis_of_one_voxel_may_be_flipped() -> None:
    flipped = np.diag([1.0, 1.0, -1.0])
    assert not has_other_axes(grid(flipped, (1, 4, 4)), grid(IDENTITY, (1, 4, 4)))


def test_a_flipped_prediction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pred.a\.nii\.gz \(and 1 more\) has other voxel axes"):
        require_same_orientation(dict.fromkeys("ab", pair(tmp_path, grid(np.diag([-1.0, -1.0, 1.0])))))


def test_evaluate_refuses_a_flipped_prediction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair(tmp_path, grid(np.diag([-1.0, -1.0, 1.0])))
    assert run(["evaluate", "-p", str(tmp_path / "pred"), "-r", str(tmp_path / "ref")]) == 2
    assert "permuted or flipped" in capsys.readouterr().err


@pytest.mark.parametrize("place", [grid(IDENTITY, origin=(5.0, 0.0, 0.0)), grid(turn(2))])
def test_cases_that_lie_elsewhere_are_told_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: Geometry
) -> None:
    with caplog.at_level(logging.WARNING, logger="autodiffseg"):
        require_same_orientation(dict.fromkeys("ab", pair(tmp_path, place)))
    (record,) = caplog.records
    assert "2 cases, first: a" in record.getMessage()


def test_float_noise_is_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    require_same_orientation({"a": pair(tmp_path, grid(turn(0.01), origin=(1e-4, 0.0, 0.0)))})
    assert not caplog.records
