"""Stored cases become label files on the raw grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autodiffseg.errors import UserError
from autodiffseg.fingerprint import IntensityStatistics
from autodiffseg.geometry import Geometry
from autodiffseg.images import read_label
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import ConfigurationPlan, DiffusionPlan, NetworkPlan, NormalisationPlan, Plan
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.preprocessor import preprocess_case
from autodiffseg.sampling import NoiseSource, Sampling, SamplingRequest
from autodiffseg.trainers.prediction import choose_sampling, make_predictor
from autodiffseg.trainers.prediction_options import PredictionOptions
from autodiffseg.trainers.stored_member import StoredMember, predict_stored_case

SPEC = LabelSpec(labels={"background": 0, "bright": 1})
GRID = Geometry(shape=(1, 12, 15), spacing=(1.0, 0.5, 0.5), origin=(0.0, 2.0), direction=(1.0, 0.0, 0.0, 1.0))


@pytest.fixture
def plan() -> Plan:
    configuration = ConfigurationPlan(
        dimensions=2,
        spacing=(0.5, 0.5),
        median_shape=(12, 15),
        patch_size=(8, 8),
        batch_size=1,
        batch_dice=False,
        normalisation=(NormalisationPlan(scheme="none"),),
        network=NetworkPlan(
            features=(1, 1), kernels=((1, 1),) * 2, strides=((1, 1),) * 2, encoder_blocks=(1, 1), decoder_blocks=(1,)
        ),
        mirror_axes=(1,),
    )
    statistics = IntensityStatistics(mean=0, median=0, std=1, min=0, max=1, percentile_00_5=0, percentile_99_5=1)
    return Plan(
        name="cpu",
        preset="cpu",
        dataset="Dataset001_Test",
        fingerprint_hash="",
        transpose=(0, 1, 2),
        intensities=(statistics,),
        configurations={"2d": configuration},
        iterations=1,
    )


class Bright:
    """Marks what is brighter than 5."""

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        bright = (patch > 5).float()
        yield torch.cat([1 - bright, bright], dim=1)


def test_a_stored_2d_case_becomes_a_2d_label_file(plan: Plan, tmp_path: Path) -> None:
    image = np.random.default_rng(0).uniform(0, 10, (1, *GRID.shape)).astype(np.float32)
    image[..., :3] = 0
    label = (image[0] > 5).astype(np.int16)
    store = CaseStore(tmp_path / "store")
    store.write(preprocess_case(image, GRID, case="a", plan=plan, configuration="2d", spec=SPEC, label=label))
    predictor = make_predictor([Bright()], plan, "2d", SPEC, device=torch.device("cpu"))
    predict_stored_case([StoredMember(predictor, store, plan, SPEC)], "a", tmp_path / "out" / "a.mha")
    written, geometry = read_label(tmp_path / "out" / "a.mha")
    np.testing.assert_array_equal(written, label)
    assert geometry == GRID


@pytest.mark.parametrize(
    ("settings", "asked", "mirrored"),
    [
        (((),), None, True),
        ((("augment=false",),), None, False),
        (((), ("augment=false",)), None, False),  # of two folds one does not know mirrored images
        ((("augment=false",),), (0, 1, 2), True),
    ],
)
def test_only_trainers_that_saw_mirrored_images_are_predicted_with_mirrors_unless_axes_are_named(
    make_trainer: Callable[..., Any],
    settings: tuple[tuple[str, ...], ...],
    asked: tuple[int, ...] | None,
    mirrored: bool,
) -> None:
    trainers = [make_trainer("supervised", settings=one) for one in settings]
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 8)).astype(np.float32)

    def predicted(options: PredictionOptions) -> Any:
        device = torch.device("cpu")
        return make_predictor(
            trainers, trainers[0].plan, "patches", trainers[0].spec, device=device, options=options
        ).predict(image, "a")

    plain = predicted(PredictionOptions(mirroring=False))
    assert np.array_equal(predicted(PredictionOptions(mirror_axes=asked)), plain) != mirrored


def test_sampling_is_the_plans_where_nothing_is_asked_for(plan: Plan) -> None:
    assert choose_sampling(plan) == Sampling(steps=5, sampler="ddpm")
    assert choose_sampling(plan, steps=2, sampler="ddim") == Sampling(steps=2, sampler="ddim")
    with pytest.raises(UserError, match="ddpm and ddim"):
        choose_sampling(plan, sampler="euler")


def test_eta_and_variance_are_the_plans_for_their_own_sampler(plan: Plan) -> None:
    planned = plan.model_copy(update={"diffusion": DiffusionPlan(eta=0.5, variance="fixed-large")})
    assert choose_sampling(planned) == Sampling(variance="fixed-large")
    assert choose_sampling(planned, sampler="ddim") == Sampling(sampler="ddim", eta=0.5)
    assert choose_sampling(planned, sampler="ddim", eta=0.0) == Sampling(sampler="ddim", eta=0.0)
    assert choose_sampling(planned, variance="fixed-small") == Sampling()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (SamplingRequest(sampler="ddim", eta=1.5), r"--eta 1.5: .* from 0 to 1"),
        (SamplingRequest(sampler="ddim", eta=-0.1), r"--eta -0.1: .* from 0 to 1"),
        (SamplingRequest(sampler="ddim", eta=float("nan")), r"--eta nan: .* from 0 to 1"),
        (SamplingRequest(eta=0.5), "--eta is for DDIM; ask for --sampler ddim"),
        (SamplingRequest(variance="learned"), "--variance learned: fixed-small and fixed-large are possible"),
        (SamplingRequest(sampler="ddim", variance="fixed-large"), "--variance is for DDPM"),
        (SamplingRequest(steps=0), "0 steps are not possible"),
    ],
)
def test_a_sampling_that_does_not_exist_is_refused_in_a_line(plan: Plan, asked: SamplingRequest, words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        choose_sampling(plan, *asked)
    assert "\n" not in str(refused.value)


def test_steps_that_the_schedule_cannot_take_are_refused(plan: Plan) -> None:
    assert choose_sampling(plan, steps=1001).steps == 1001
    with pytest.raises(UserError, match="1002 steps are not possible: choose between 1 and the 1001"):
        choose_sampling(plan, steps=1002)
    uneven = plan.model_copy(update={"diffusion": DiffusionPlan(respacing="endpoints")})
    assert choose_sampling(uneven, steps=6).steps == 6
    with pytest.raises(UserError, match="cannot make 4 steps of 1001"):
        choose_sampling(uneven, steps=4)
