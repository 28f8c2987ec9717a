"""Batches by number."""

import os
import pickle
from unittest.mock import patch as replace

import numpy as np
import pytest
import torch

from autodiffseg.dataloading.batches import BatchSource, batch_stream, default_workers
from autodiffseg.errors import UserError
from autodiffseg.labels import UNKNOWN, LabelSpec
from autodiffseg.preprocessing.case_store import CaseStore, write_array
from autodiffseg.preprocessing.previous_stage import PreviousStageStore


def same(a, b):
    return a.cases == b.cases and torch.equal(a.image, b.image) and torch.equal(a.label, b.label)


@pytest.fixture
def source(balls, configure, spec):
    return BatchSource(balls, balls.cases(), configure(16, 16, 16, mirror_axes=(0, 1, 2)), spec, seed=3)


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_a_batch_has_the_promised_shapes_types_and_values(source):
    batch = source.batch(0)
    assert (batch.image.shape, batch.image.dtype) == ((2, 1, 16, 16, 16), torch.float32)
    assert (batch.label.shape, batch.label.dtype) == ((2, 16, 16, 16), torch.int16)
    assert set(batch.label.unique().tolist()) <= {UNKNOWN, 0, 1, 2}
    assert set(batch.cases) <= {"case_0", "case_1", "case_2"}


def test_a_batch_is_the_same_in_any_order_and_with_any_threads(source, two_threads):
    backwards = [source.batch(n) for n in (4, 3, 2, 1, 0)][::-1]
    torch.set_num_threads(1)
    np.random.rand(5)
    torch.rand(7)
    assert all(same(source.batch(n), batch) for n, batch in enumerate(backwards))
    assert not any(same(source.batch(n + 1), batch) for n, batch in enumerate(backwards))


def test_another_seed_gives_other_batches(source):
    other = BatchSource(source.store, source.cases, source.configuration, source.spec, seed=4)
    assert not same(source.batch(0), other.batch(0))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_gives_the_same_batches(source, two_threads, workers):
    # Both have left threads behind that a forked process does not have.
    torch.nn.functional.conv3d(torch.randn(1, 4, 24, 24, 24), torch.randn(4, 4, 3, 3, 3))
    expected = [source.batch(n) for n in range(7)]
    with batch_stream(source, start=0, stop=7, workers=workers) as batches:
        received = list(batches)
    assert len(received) == 7
    assert all(map(same, received, expected))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_resumed_at_a_batch_goes_on_as_if_never_stopped(source, workers):
    with batch_stream(source, start=5, stop=8, workers=workers) as batches:
        assert all(same(batch, source.batch(n)) for n, batch in zip((5, 6, 7), batches, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_empty_stream_ends_at_once(source, workers):
    with batch_stream(source, start=5, stop=5, workers=workers) as batches:
        assert list(batches) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_the_stream_leaves_the_trainers_randomness_alone(source, workers):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with batch_stream(source, start=0, stop=2, workers=workers) as batches:
        list(batches)
    assert torch.equal(torch.rand(3), expected)


def test_batches_from_a_worker_can_be_written_to(source):
    with batch_stream(source, start=0, stop=1, workers=1) as batches:
        next(batches).image.add_(1)


def test_the_last_sample_of_two_shows_foreground_and_classes_alike(balls, configure, spec):
    source = BatchSource(balls, balls.cases(), configure(3, 3, 3), spec, seed=0, augment=False)
    centres = np.array([source.batch(n).label[:, 1, 1, 1].numpy() for n in range(400)])
    assert np.mean(centres[:, 1] > 0) > 0.95  # a patch that the border shifts may miss the voxel with its centre
    assert np.mean(centres[:, 1] == 2) == pytest.approx(0.5, abs=0.08)
    assert np.mean(centres[:, 0] > 0) < 0.2


def test_without_augmentation_a_patch_is_cut_from_the_case(balls, configure, spec):
    source = BatchSource(balls, ["case_1"], configure(14, 30, 17), spec, seed=0, augment=False)
    batch = source.batch(0)
    np.testing.assert_array_equal(batch.image[0], balls.image("case_1")[:])
    np.testing.assert_array_equal(batch.label[0], np.maximum(balls.label("case_1")[0], 0))


def test_a_case_smaller_than_the_patch_is_padded_with_unknown(balls, configure, spec):
    source = BatchSource(balls, ["case_1"], configure(20, 32, 20), spec, seed=0, augment=False)
    offsets = set()
    for n in range(8):
        for image, label in zip(source.batch(n).image, source.batch(n).label, strict=True):
            assert (label != UNKNOWN).sum() == 14 * 30 * 17
            assert image[0][label == UNKNOWN].abs().max() == 0
            offsets.add(tuple((label != UNKNOWN).nonzero()[0].tolist()))
    assert len(offsets) > 4


def test_2d_patches_are_slices_and_forced_ones_show_foreground(balls, configure, spec):
    source = BatchSource(balls, balls.cases(), configure(12, 12, mirror_axes=(1,)), spec, seed=0)
    for n in range(20):
        batch = source.batch(n)
        assert batch.image.shape == (2, 1, 12, 12)
        assert batch.label.shape == (2, 12, 12)
        assert (batch.label[1] > 0).any()


def test_an_unaugmented_2d_patch_is_found_in_the_case(write_case, configure, spec):
    image = np.arange(5 * 6 * 7, dtype=np.float32).reshape(1, 5, 6, 7)
    store = write_case("numbered", image, np.zeros((5, 6, 7)))
    source = BatchSource(store, ["numbered"], configure(4, 4), spec, seed=0, augment=False)
    patches = torch.cat([source.batch(n).image[:, 0] for n in range(30)])
    assert set((patches[:, 0, 0] // 42).int().tolist()) == set(range(5))
    assert (patches[:, 1:] - patches[:, :-1] == 7).all()
    assert (patches[:, :, 1:] - patches[:, :, :-1] == 1).all()


def test_all_channels_come_along_and_are_turned_alike(write_case, configure, spec):
    positions = np.indices((20, 20, 20)).astype(np.float32)
    store = write_case("positions", positions, np.zeros((20, 20, 20)))
    source = BatchSource(store, ["positions"], configure(8, 8, 8, channels=3, batch_size=4), spec, seed=1)
    source._augmentation._intensity.transforms = []
    for n in range(5):
        for image in source.batch(n).image:
            axes = torch.stack([image[:, 5, 4, 4], image[:, 4, 5, 4], image[:, 4, 4, 5]]) - image[:, 4, 4, 4]
            lengths = axes.norm(dim=1)  # turning and scaling keep the three axes square and equally long
            assert torch.allclose(axes @ axes.T, torch.eye(3) * lengths[0] ** 2, atol=1e-4)


def test_a_case_without_foreground_still_gives_batches(write_case, configure, spec):
    store = write_case("empty", np.zeros((1, 9, 9, 9)), np.zeros((9, 9, 9)))
    assert source_of(store, ["empty"], configure, spec).batch(0).label.max() == 0


def source_of(store, cases, configure, spec):
    return BatchSource(store, cases, configure(8, 8, 8), spec, seed=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_case_is_named_wherever_it_is_read(balls, configure, spec, workers):
    path = balls.folder / "case_1.image.b2nd"
    path.write_bytes(path.read_bytes()[:200])
    source = source_of(balls, ["case_1"], configure, spec)
    with (
        pytest.raises(UserError, match="case_1"),
        batch_stream(source, start=0, stop=4, workers=workers) as batches,
    ):
        list(batches)


def test_a_missing_case_is_named(balls, configure, spec):
    with pytest.raises(UserError, match="case_9"):
        source_of(CaseStore(balls.folder), ["case_9"], configure, spec).batch(0)


def test_a_fault_of_the_code_says_which_case_and_batch(source):
    broken = ZeroDivisionError("oops")
    with replace.object(BatchSource, "_sample", side_effect=broken), pytest.raises(ZeroDivisionError) as caught:
        source.batch(11)
    assert "case_" in caught.value.__notes__[0]
    assert "batch 11" in caught.value.__notes__[0]


def test_a_pickled_source_makes_the_same_batches(source):
    # Where processes are not forked it is sent to the workers.
    assert same(pickle.loads(pickle.dumps(source)).batch(2), source.batch(2))


def test_no_cases_are_refused(balls, configure, spec):
    with pytest.raises(UserError, match="no cases"):
        source_of(balls, [], configure, spec)


@pytest.mark.parametrize(("cores", "cpu", "cuda"), [(1, 0, 1), (2, 0, 2), (3, 1, 3), (4, 2, 4), (16, 2, 12)])
def test_a_cpu_training_gets_workers_only_on_spare_cores(cores, cpu, cuda):
    with replace.object(os, "sched_getaffinity", create=True, new=lambda _: range(cores)):
        assert (default_workers("cpu"), default_workers("cuda")) == (cpu, cuda)


@pytest.fixture
def cascade(balls, configure, tmp_path):
    """Balls with their own labels as segmentations of the previous stage, and a configuration that wants them."""
    kept = PreviousStageStore(tmp_path / "kept", dict.fromkeys(balls.cases(), "0"))
    for case in balls.cases():
        write_array(kept.path(case), np.maximum(balls.label(case)[:1], 0), None, None)

    def make(*patch, **options):
        return configure(*patch, **options).model_copy(update={"previous_stage": "low"})

    return kept, make


def foreground(label):
    return torch.stack([label == 1, label == 2], dim=1).float()


def test_a_cascade_sees_the_previous_segmentation_behind_the_image(balls, cascade, spec):
    kept, configure = cascade
    source = BatchSource(balls, balls.cases(), configure(16, 32, 16), spec, seed=0, augment=False, previous=kept)
    plain = configure(16, 32, 16).model_copy(update={"previous_stage": None})
    without = BatchSource(balls, balls.cases(), plain, spec, seed=0, augment=False)
    for n in range(4):
        batch, other = source.batch(n), without.batch(n)
        assert batch.image.shape == (2, 3, 16, 32, 16)
        assert torch.equal(batch.image[:, :1], other.image)
        assert torch.equal(batch.label, other.label)
        assert torch.equal(batch.image[:, 1:], foreground(batch.label))


@pytest.mark.parametrize("patch", [(16, 20, 18), (4, 20, 20)])
def test_the_previous_segmentation_is_turned_and_mirrored_as_the_label_is(balls, cascade, spec, patch, monkeypatch):
    monkeypatch.setattr("autodiffseg.dataloading.batches.corrupt_segmentation", lambda segmentation: segmentation)
    kept, configure = cascade
    configuration = configure(*patch, mirror_axes=(0, 1, 2), batch_size=8)
    batch = BatchSource(balls, balls.cases(), configuration, spec, seed=1, previous=kept).batch(0)
    assert torch.equal(batch.image[:, 1:], foreground(batch.label))
    assert batch.image[:, 1:].sum() > 0


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_a_cascade_are_pure_too(balls, cascade, spec, workers, two_threads):
    kept, configure = cascade
    configuration = configure(16, 16, 16, mirror_axes=(0, 1, 2))
    source = BatchSource(balls, balls.cases(), configuration, spec, seed=3, previous=kept)
    expected = [source.batch(n) for n in (5, 4, 3, 2, 1, 0)][::-1]
    assert any((batch.image[:, 1:] != foreground(batch.label)).any() for batch in expected)  # made worse
    torch.set_num_threads(1)
    with batch_stream(source, start=0, stop=6, workers=workers) as batches:
        assert all(map(same, batches, expected))


def test_regions_of_the_previous_segmentation_are_channels_that_overlap(balls, cascade):
    kept, configure = cascade
    regions = LabelSpec(labels={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
    source = BatchSource(balls, balls.cases(), configure(16, 16, 16), regions, seed=0, previous=kept)
    for n in range(8):
        whole, core = source.batch(n).image[:, 1:].unbind(1)
        assert (core <= whole).all()  # also when made worse


def test_a_cascade_without_segmentations_is_a_fault_of_the_code(balls, cascade, configure, spec):
    kept, cascaded = cascade
    with pytest.raises(ValueError, match="previous stage"):
        BatchSource(balls, balls.cases(), cascaded(8, 8, 8), spec, seed=0)
    with pytest.raises(ValueError, match="previous stage"):
        BatchSource(balls, balls.cases(), configure(8, 8, 8), spec, seed=0, previous=kept)


def test_a_damaged_segmentation_is_named(balls, cascade, spec):
    kept, configure = cascade
    kept.path("case_2").write_bytes(b"no array")
    with pytest.raises(UserError, match=r"case_2\.0\.b2nd"):
        BatchSource(balls, ["case_2"], configure(8, 8, 8), spec, seed=0, previous=kept).batch(0)
