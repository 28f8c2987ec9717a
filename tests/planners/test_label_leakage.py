"""The leakage curve against closed forms: certainty, guessing, the error function, and what must not matter."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk

from autodiffseg.labels import LabelSpec
from autodiffseg.planners import label_leakage
from autodiffseg.planners.label_leakage import (
    LOG_SNR,
    MOST_BLOCKS,
    BlockJob,
    BlockLeakage,
    _evenly,
    block_around,
    examine_block,
    measure_leakage,
    smoothed_dice,
)

BINARY = LabelSpec(labels={"background": 0, "one": 1})
FOUR = LabelSpec(labels={"background": 0, "one": 1, "two": 2, "three": 3})
REGIONS = LabelSpec(labels={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
SHAPE = (32, 32, 32)


def halves() -> npt.NDArray[np.int16]:
    label = np.zeros(SHAPE, dtype=np.int16)
    label[:, :, 16:] = 1
    return label


def quarters() -> npt.NDArray[np.int16]:
    label = np.zeros(SHAPE, dtype=np.int16)
    label[:16, 16:], label[16:, :16], label[16:, 16:] = 1, 2, 3
    return label


def cube(side: int) -> npt.NDArray[np.int16]:
    label = np.zeros(SHAPE, dtype=np.int16)
    start = (32 - side) // 2
    label[start : start + side, start : start + side, start : start + side] = 1
    return label


def noise(label: npt.NDArray[Any], spec: LabelSpec, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((spec.channels, *label.shape), dtype=np.float32)


def dice_at(label: npt.NDArray[Any], spec: LabelSpec, name: str, *levels: float) -> tuple[Any, float]:
    return smoothed_dice(label, spec, name, levels, noise(label, spec))


def curve(label: npt.NDArray[Any], spec: LabelSpec, name: str) -> npt.NDArray[np.float64]:
    """The best Dice over the widths of smoothing, from guessing to certainty as 0 to 1."""
    dice, chance = dice_at(label, spec, name, *LOG_SNR)
    return np.asarray((dice.max(axis=0) - chance) / (1 - chance))


def guessed(label: npt.NDArray[Any], spec: LabelSpec, name: str) -> npt.NDArray[np.float64]:
    """The Dice in noise alone, per width: the mean over draws, since wide smoothing leaves few independent voxels."""
    draws = [smoothed_dice(label, spec, name, [-60.0], noise(label, spec, seed))[0][:, 0] for seed in range(30)]
    return np.asarray(np.mean(draws, axis=0))


@pytest.mark.parametrize(
    ("label", "spec", "name"),
    [(halves(), BINARY, "one"), (quarters(), FOUR, "two"), (quarters(), REGIONS, "core")],
)
def test_without_noise_the_whole_label_shows(label: npt.NDArray[Any], spec: LabelSpec, name: str) -> None:
    dice, _ = dice_at(label, spec, name, 40.0)
    assert dice[0, 0] == 1.0
    assert dice.max() == 1.0


def test_in_noise_alone_two_balanced_classes_are_guessed() -> None:
    # Half of the voxels are guessed to be the class, half of those rightly: 2·(n/4)/(n/2 + n/2) = 1/2.
    assert dice_at(halves(), BINARY, "one", 0.0)[1] == pytest.approx(0.5)
    np.testing.assert_allclose(guessed(halves(), BINARY, "one"), 0.5, atol=0.05)


def test_in_noise_alone_one_class_of_four_is_guessed() -> None:
    # p = q = 1/4: 2·(n/16)/(n/4 + n/4) = 1/4.
    assert dice_at(quarters(), FOUR, "two", 0.0)[1] == pytest.approx(0.25)
    np.testing.assert_allclose(guessed(quarters(), FOUR, "two"), 0.25, atol=0.05)


@pytest.mark.parametrize("log_snr", [-4.0, -1.0, 1.0])
def test_without_smoothing_it_is_the_normal_distribution(log_snr: float) -> None:
    # The two channels differ by ±2r plus noise of variance 2, r = √(ᾱ/(1-ᾱ)): right with probability Φ(r·√2).
    right = NormalDist().cdf(math.exp(log_snr / 2) * math.sqrt(2))
    dice, _ = dice_at(halves(), BINARY, "one", log_snr)
    assert dice[0, 0] == pytest.approx(right, abs=0.01)  # p = 1/2: 2·(right/2)/(1/2 + 1/2)


@pytest.mark.parametrize("log_snr", [-4.0, 0.0])
def test_a_region_is_read_from_the_sign_of_its_own_channel(log_snr: float) -> None:
    right = NormalDist().cdf(math.exp(log_snr / 2))
    dice, _ = dice_at(2 * halves(), REGIONS, "core", log_snr)
    assert dice[0, 0] == pytest.approx(right, abs=0.01)


@pytest.mark.parametrize(("label", "spec", "name"), [(cube(12), BINARY, "one"), (quarters(), REGIONS, "whole")])
def test_more_signal_shows_more(label: npt.NDArray[Any], spec: LabelSpec, name: str) -> None:
    values = curve(label, spec, name)
    assert np.diff(values).min() > -0.02
    assert values[-1] == 1


def test_larger_structures_show_through_more_noise() -> None:
    half = [float(np.interp(0.5, curve(cube(side), BINARY, "one"), LOG_SNR)) for side in (2, 6, 14)]
    assert half[0] > half[1] + 0.5 > half[2] + 1


def test_the_order_of_the_classes_does_not_matter() -> None:
    label, turn = quarters(), np.array([2, 3, 1, 0])  # class 0 is now 2, and so on
    drawn = noise(label, FOUR)
    for before, after in (("two", "one"), ("one", "three")):
        one, chance = smoothed_dice(label, FOUR, before, LOG_SNR, drawn)
        other, same_chance = smoothed_dice(turn[label], FOUR, after, LOG_SNR, drawn[np.argsort(turn)])
        np.testing.assert_array_equal(one, other)
        assert chance == same_chance


def test_what_is_not_annotated_neither_shows_nor_counts() -> None:
    scribbles = LabelSpec(labels={"background": 0, "one": 1, "ignore": 2})
    label = halves()
    label[:8] = 2
    dice, chance = dice_at(label, scribbles, "one", 40.0)
    assert dice[0, 0] == 1.0
    assert chance == pytest.approx(0.5)


def test_what_is_not_annotated_is_no_background() -> None:
    regions = LabelSpec(labels={"background": 0, "whole": (1, 2), "core": 2, "ignore": 3}, regions_class_order=(1, 2))
    label = np.ones(SHAPE, dtype=np.int16)
    label[:14] = label[18:] = 3  # as -1 in x0 it would be smoothed into the few annotated slices
    dice, _ = dice_at(label, regions, "whole", 40.0)
    np.testing.assert_array_equal(dice, 1)


def test_a_block_is_cut_from_the_nonzero_region(tmp_path: Path) -> None:
    label = np.zeros((4, 8, 16), dtype=np.int16)
    label[..., :4] = 1
    sitk.WriteImage(sitk.GetImageFromArray(label), str(tmp_path / "case.nii.gz"))
    job = BlockJob(tmp_path / "case.nii.gz", BINARY, ((0, 4), (0, 8), (0, 8)), "one", 10_000, 0)
    assert examine_block(job).chance == pytest.approx(0.5)  # half of the region; of the whole label a quarter


def test_a_class_that_fills_its_block_is_no_division_by_zero() -> None:
    dice, chance = dice_at(np.ones((1, 1, 1), dtype=np.int16), BINARY, "one", *LOG_SNR)
    assert np.isfinite(dice).all()
    assert chance == pytest.approx(2 / 3)


def test_the_curve_is_the_mean_over_classes_of_what_the_best_width_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    rising, flat = np.linspace(0.5, 1, len(LOG_SNR)), np.full(len(LOG_SNR), 0.6)
    found = {
        "a": BlockLeakage("one", np.stack([flat - 0.2, rising - 0.1]), 0.5),
        "b": BlockLeakage("one", np.stack([flat + 0.2, rising + 0.1]), 0.5),
        "c": BlockLeakage("two", np.stack([flat, flat - 0.3]), 0.2),
    }
    box = ((0, 1),) * 3
    jobs = {name: BlockJob(Path(name), FOUR, box, block.name, 99, 0) for name, block in found.items()}  # type: ignore[arg-type]
    monkeypatch.setattr(label_leakage, "examine_block", lambda job: found[job.label.name])
    seen = measure_leakage(jobs, processes=1)
    assert seen is not None
    one = (np.maximum(rising, 0.6) - 0.5) / 0.5
    two = (0.6 - 0.2) / 0.8
    np.testing.assert_allclose(seen.curve.leaked, (one + two) / 2, atol=1e-4)
    assert (seen.chance, seen.blocks, seen.block_voxels) == ({"one": 0.5, "two": 0.2}, 3, 99)


def test_no_blocks_give_no_curve() -> None:
    assert measure_leakage({}, processes=1) is None


@pytest.mark.parametrize("shape", [(32, 32, 32), (1, 300, 200), (10, 237, 208), (5, 4, 3)])
def test_blocks_hold_their_class_and_no_more_voxels_than_allowed(shape: tuple[int, int, int]) -> None:
    label = np.zeros(shape, dtype=np.int16)
    label[-1, -1, -1] = 1
    block = label[block_around(label, (1,), 4096)]
    assert (block == 1).any()
    assert 0.7 * min(4096, label.size) <= block.size <= 4096


def test_a_block_lies_around_the_middle_of_its_class() -> None:
    label = np.zeros((1, 1, 300), np.uint8)
    label[..., 100:201] = 1
    assert block_around(label, (1,), 20)[2] == slice(140, 160)


def test_cases_are_spread_evenly_and_never_twice() -> None:
    cases = [f"case_{index:03d}" for index in range(100)]
    chosen = _evenly(cases, MOST_BLOCKS)
    assert len(set(chosen)) == MOST_BLOCKS
    assert (chosen[0], chosen[-1]) == ("case_002", "case_097")
    assert _evenly(cases[:3], MOST_BLOCKS) == cases[:3]
    assert _evenly([], MOST_BLOCKS) == []
