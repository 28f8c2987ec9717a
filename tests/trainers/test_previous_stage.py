"""What a cascade is shown at prediction: the same channels as in training, mirrored with the image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autodiffseg.geometry import Geometry
from autodiffseg.images import read_label, write_image
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.preprocessor import preprocess_case
from autodiffseg.preprocessing.previous_stage import store_previous_stage
from autodiffseg.sampling import NoiseSource, Sampling
from autodiffseg.trainers.member import Member
from autodiffseg.trainers.prediction import make_predictor, with_segmentation
from autodiffseg.trainers.prediction_cases import predict_cases
from autodiffseg.trainers.prediction_options import PredictionOptions
from autodiffseg.trainers.prediction_outputs import PredictionOutputs
from autodiffseg.trainers.previous_stage import PreviousStage
from autodiffseg.trainers.stored_member import StoredMember, predict_stored_case

from .conftest import tiny_plan

SPEC = LabelSpec(labels={"background": 0, "one": 1, "two": 2})
SHAPE = (9, 13, 11)
GRID = Geometry(shape=SHAPE, spacing=(2, 1, 1), origin=(3, 4, 5), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))


def cascade_plan() -> Plan:
    plan = tiny_plan()
    patches = plan.configurations["patches"]
    low = patches.model_copy(update={"spacing": (2.0, 2.0, 2.0), "mirror_axes": ()})
    cascade = patches.model_copy(update={"previous_stage": "low"})
    return plan.model_copy(update={"configurations": {"low": low, "cascade": cascade}, "transpose": (2, 0, 1)})


class Bright:
    """The previous stage: 1 where the image is above its mean, 2 where far above."""

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        assert patch.shape[1] == 1
        classes = (patch[:, 0] > 0).long() + (patch[:, 0] > 1.5).long()
        yield torch.nn.functional.one_hot(classes, 3).movedim(-1, 1).float()


def in_any_order(patches: Tensor) -> Tensor:
    """Patches come from calls side by side; sorted by what is in them."""
    return patches[np.lexsort(patches.flatten(1).numpy().T)]


class Believer:
    """A cascade that believes what it is shown, and remembers it."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        self.seen.append(patch.clone())
        assert patch.shape[1] == 3
        yield torch.cat([1 - patch[:, 1:].sum(1, keepdim=True), patch[:, 1:]], dim=1)


def image() -> Any:
    rng = np.random.default_rng(0)
    smooth = rng.normal(size=(3, 4, 4)).repeat(3, 0).repeat(4, 1).repeat(3, 2)[:9, :13, :11]
    padded = np.zeros(SHAPE, np.float32)
    padded[: smooth.shape[0], : smooth.shape[1], : smooth.shape[2]] = smooth
    padded[0] = 0
    return padded[None]


@pytest.fixture
def previous() -> PreviousStage:
    plan = cascade_plan()
    predictor = make_predictor([Bright()], plan, "low", SPEC, device=torch.device("cpu"))
    return PreviousStage(Path("low"), {}, predictor, plan, "low", SPEC)


def test_predict_and_validate_show_the_cascade_the_same(previous: PreviousStage, tmp_path: Path) -> None:
    plan = cascade_plan()
    write_image(tmp_path / "a_0000.nii.gz", image()[0], GRID)
    told = []
    for name in ("validated", "predicted"):
        model = Believer()
        predictor = make_predictor([model], plan, "cascade", SPEC, device=torch.device("cpu"))
        if name == "predicted":
            cases = {"a": (tmp_path / "a_0000.nii.gz",)}
            member = Member(predictor, plan, "cascade", SPEC, previous)
            outputs = PredictionOutputs(tmp_path / name, ".nii.gz")
            assert list(predict_cases([member], cases, outputs)) == [("a", None)]
        else:
            segmentation = previous.segment(image(), GRID, "a")
            assert set(np.unique(segmentation)) == {0, 1, 2}
            write_image(tmp_path / "low" / "a.nii.gz", segmentation, GRID)
            store = CaseStore(tmp_path / "store")
            label = np.zeros(SHAPE, np.int16)
            store.write(
                preprocess_case(image(), GRID, case="a", plan=plan, configuration="cascade", spec=SPEC, label=label)
            )
            source = {"a": tmp_path / "low" / "a.nii.gz"}
            shown = store_previous_stage(source, store, plan, "cascade", tmp_path / "kept", processes=1)
            predict_stored_case([StoredMember(predictor, store, plan, SPEC, shown)], "a", tmp_path / name / "a.nii.gz")
        told.append((read_label(tmp_path / name / "a.nii.gz")[0], in_any_order(torch.cat(model.seen))))
    (label, seen), (other_label, other_seen) = told
    assert torch.equal(seen, other_seen)
    np.testing.assert_array_equal(label, other_label)
    assert set(np.unique(label)) == {0, 1, 2}


@pytest.mark.parametrize("mirroring", [False, True])
def test_a_cascade_that_believes_it_gives_the_segmentation_back_mirrored_or_not(mirroring: bool) -> None:
    options = PredictionOptions(mirroring=mirroring)
    plan = cascade_plan()
    rng = np.random.default_rng(1)
    segmentation = rng.integers(0, 3, (10, 9, 12)).astype(np.int16)
    shown = with_segmentation(rng.normal(size=(1, 10, 9, 12)).astype(np.float32), segmentation, SPEC)
    predictor = make_predictor([Believer()], plan, "cascade", SPEC, device=torch.device("cpu"), options=options)
    np.testing.assert_array_equal(predictor.predict(shown, "a").argmax(0), segmentation)


def test_regions_are_shown_as_they_overlap_and_an_ignore_label_not_at_all() -> None:
    regions = LabelSpec(
        labels={"background": 0, "whole": (1, 2, 4), "core": (1, 4), "ignore": 5}, regions_class_order=(2, 1)
    )
    segmentation = np.array([[[0, 1, 2, 4, 5]]], np.uint8)
    shown = with_segmentation(np.full((1, 1, 1, 5), 7.0, np.float32), segmentation, regions)
    assert shown.dtype == np.float32
    assert shown[:, 0, 0].tolist() == [[7] * 5, [0, 1, 1, 1, 0], [0, 1, 0, 1, 0]]


@pytest.mark.parametrize(("regions", "name"), [(False, "supervised"), (True, "recycling")])
def test_the_network_of_a_cascade_takes_the_further_channels(regions: bool, name: str) -> None:
    from autodiffseg.trainers.checkpoints import trainer_class
    from autodiffseg.trainers.options import read_settings

    from .conftest import dataset_json, tiny_batch

    cls = trainer_class(name)
    device = torch.device("cpu")
    trainer, plain = (
        cls(
            cascade_plan(), which, dataset_json(regions=regions), read_settings(cls.Options, ()), device=device,
            precision="fp32",
        )
        for which in ("cascade", "low")
    )  # fmt: skip
    assert trainer.image_channels == plain.image_channels + 2 == 3
    batch = tiny_batch()
    shown = torch.cat([batch.image, torch.rand(2, 2, 8, 8, 8).round()], dim=1)
    assert torch.isfinite(trainer.loss(batch._replace(image=shown), torch.Generator()).total)
