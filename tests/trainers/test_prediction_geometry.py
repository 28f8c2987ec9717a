"""Every file that predict writes lies where its image lies, whatever the format and however oblique."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from autodiffseg.geometry import Geometry
from autodiffseg.images import read_image, read_label, write_image
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.sampling import NoiseSource, Sampling
from autodiffseg.trainers.member import Member
from autodiffseg.trainers.prediction import make_predictor
from autodiffseg.trainers.prediction_cases import predict_cases
from autodiffseg.trainers.prediction_options import WantedOutputs
from autodiffseg.trainers.prediction_outputs import PredictionOutputs
from autodiffseg.trainers.resources import Resources

SPEC = LabelSpec(labels={"background": 0, "bright": 200})
angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
spacings = st.tuples(*[st.floats(0.1, 12.0)] * 3)
origins = st.tuples(*[st.floats(-2000, 2000)] * 3)


class Bright:
    """Marks what is brighter than 5, in two steps."""

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        bright = (patch > 5).float()
        yield from [torch.cat([1 - bright, bright], dim=1)] * 2


def rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    turned = np.eye(3)
    for axis, angle in enumerate((x, y, z)):
        one, two = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        turned = turned @ turn
    return turned


def member(plan: Plan) -> Member:
    predictor = make_predictor([Bright()], plan, "patches", SPEC, device=torch.device("cpu"))
    return Member(predictor, plan, "patches", SPEC)


def plan_for(make_trainer: Any, dimensions: int, spacing: tuple[float, ...], transpose: tuple[int, int, int]) -> Plan:
    """On the grid of the image, so that label maps come back exactly."""
    plan = make_trainer("supervised", dimensions=dimensions).plan
    settings = plan.configuration("patches")
    norm = settings.normalisation[0].model_copy(update={"scheme": "none"})
    settings = settings.model_copy(update={"spacing": spacing, "normalisation": (norm,), "mirror_axes": ()})
    return plan.model_copy(update={"configurations": {"patches": settings}, "transpose": transpose})


def predict(plan: Plan, image: Path, out: Path, ending: str) -> list[Path]:
    """All label maps of one case."""
    outputs = PredictionOutputs(out, ending, WantedOutputs(steps=True), samples=2)
    assert list(predict_cases([member(plan)], {"a": (image,)}, outputs, Resources(workers=0))) == [("a", None)]
    found = sorted(out.rglob(f"a{ending}"))
    assert len(found) == 5
    return found


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # only makes plans
@given(turn=angles, spacing=spacings, origin=origins, order=st.permutations((0, 1, 2)))
def test_oblique_images(
    ending: str,
    turn: tuple[float, float, float],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    order: list[int],
    make_trainer: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("case")
    shape = (5, 6, 7)
    geometry = Geometry(shape=shape, spacing=spacing, origin=origin, direction=tuple(rotation(*turn).ravel()))
    values = np.random.default_rng(0).uniform(0, 10, shape).astype(np.float32)
    values[0], values[:, :2] = 0, 0  # so that there is something to crop
    write_image(folder / f"a_0000{ending}", values, geometry)
    wanted = read_image(folder / f"a_0000{ending}")[1]
    transposed = tuple(wanted.spacing[axis] for axis in order)
    plan = plan_for(make_trainer, 3, transposed, (order[0], order[1], order[2]))
    for path in predict(plan, folder / f"a_0000{ending}", folder / "out", ending):
        label, found = read_label(path)
        np.testing.assert_array_equal(label, 200 * (values > 5))
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found.spacing, wanted.spacing, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.direction, wanted.direction, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.origin, wanted.origin, rtol=0, atol=1e-6)


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp", ".mha", ".nii.gz"])
def test_pictures(ending: str, make_trainer: Any, tmp_path: Path) -> None:
    spacing = (1.0, 0.4, 0.3) if ending in (".mha", ".nii.gz") else (1.0, 1.0, 1.0)
    origin, direction = (3.0, -2.5) if ending == ".mha" else (0.0, 0.0), (1.0, 0.0, 0.0, 1.0)
    geometry = Geometry(shape=(1, 12, 15), spacing=spacing, origin=origin, direction=direction)
    values = np.random.default_rng(0).integers(1, 11, geometry.shape).astype(np.uint8)
    write_image(tmp_path / f"a_0000{ending}", values, geometry)
    wanted = read_image(tmp_path / f"a_0000{ending}")[1]
    plan = plan_for(make_trainer, 2, wanted.spacing[1:], (0, 1, 2))
    for path in predict(plan, tmp_path / f"a_0000{ending}", tmp_path / "out", ending):
        label, found = read_label(path)
        np.testing.assert_array_equal(label, 200 * (values > 5))
        assert found == wanted
        assert sitk.ReadImage(str(path)).GetPixelIDValue() == sitk.sitkUInt8 or ending == ".bmp"
