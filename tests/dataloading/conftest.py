"""Tiny preprocessed cases and configurations for the tests of data loading."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autodiffseg.geometry import Geometry
from autodiffseg.labels import OUTSIDE, LabelSpec
from autodiffseg.plans import ConfigurationPlan, NetworkPlan, NormalisationPlan
from autodiffseg.preprocessing.case_store import CaseProperties, CaseStore, PreprocessedCase


@pytest.fixture
def spec() -> LabelSpec:
    """Two exclusive classes."""
    return LabelSpec(labels={"background": 0, "ball": 1, "core": 2})


@pytest.fixture
def configure() -> Callable[..., ConfigurationPlan]:
    """Make a configuration for a patch size."""

    def make(
        *patch: int, batch_size: int = 2, channels: int = 1, use_mask: bool = False, mirror_axes: tuple[int, ...] = ()
    ) -> ConfigurationPlan:
        axes = len(patch)
        return ConfigurationPlan(
            dimensions=axes,
            spacing=(1.0,) * axes,
            median_shape=patch,
            patch_size=patch,
            batch_size=batch_size,
            batch_dice=False,
            normalisation=(NormalisationPlan(scheme="zscore", use_mask=use_mask),) * channels,
            network=NetworkPlan(
                features=(4, 8),
                kernels=((3,) * axes,) * 2,
                strides=((1,) * axes,) * 2,  # any patch is possible
                encoder_blocks=(1, 1),
                decoder_blocks=(1,),
            ),
            mirror_axes=mirror_axes,
        )

    return make


@pytest.fixture
def write_case(tmp_path: Path) -> Callable[..., CaseStore]:
    """Write a case into a store under the test's folder; returns the store."""

    def write(case: str, image: np.ndarray, label: np.ndarray) -> CaseStore:
        shape = label.shape
        box = tuple((0, length) for length in shape)
        found = {index: np.argwhere(label == index + 1).astype(np.int32) for index in range(2)}
        properties = CaseProperties(
            case=case,
            geometry=Geometry(shape=shape, spacing=(1, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)),
            crop=box,
            spacing_before=(1, 1, 1),
            spacing=(1, 1, 1),
            shape=shape,
            class_voxels={name: len(found[index]) for index, name in enumerate(("ball", "core"))},
        )
        store = CaseStore(tmp_path / "store")
        store.write(PreprocessedCase(image.astype(np.float32), label[None].astype(np.int16), properties, found))
        return store

    return write


@pytest.fixture
def balls(write_case: Callable[..., CaseStore]) -> CaseStore:
    """Three cases of different shapes: noise, a bright ball with a core off the centre, OUTSIDE in one corner."""
    store = None
    for number, shape in enumerate([(20, 22, 24), (14, 30, 17), (26, 19, 21)]):
        rng = np.random.default_rng(number)
        at = np.indices(shape) - np.array([8, 9, 7])[:, None, None, None]
        radius = np.sqrt((at**2).sum(0))
        label = (radius < 5).astype(np.int16) + (radius < 3)
        label[:2, :2, :2] = OUTSIDE
        store = write_case(f"case_{number}", (rng.normal(0, 0.3, shape) + label)[None], label)
    assert store is not None
    return store
