"""How much of a label shows through its noised version: the leakage of standard diffusion training.

A network that is shown x_t = √ᾱ·x0 + √(1-ᾱ)·ε may average it over a neighbourhood, and so read a large structure from a
mask that looks like noise. What the simplest such reader finds is measured here: Gaussian smoothing, then argmax
(regions: the sign). Workers load no torch, so the process is written here in numpy.

| symbol | here |
|---|---|
| log ᾱ/(1-ᾱ) | `log_snr` |
| x0 in {-1, 1}, 0 where not annotated | `x0` |
| ε | `noise` |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autodiffseg.dataset import RawDataset
from autodiffseg.fingerprint import LabelLeakage, LeakageCurve
from autodiffseg.images import read_label
from autodiffseg.labels import LabelSpec
from autodiffseg.preprocessing.crop import Box, box_slices
from autodiffseg.preprocessing.parallel import for_each_case

SIGMAS = (0, 1, 2, 4)
"""Widths of the smoothing, voxels."""
LOG_SNR = tuple(float(value) for value in range(-14, 11))
"""The default schedule goes from 9.2 to -10.1."""
MOST_BLOCKS = 24
MOST_BLOCK_VOXELS = 2**16
MOST_BLOCK_NUMBERS = 2**18
"""Voxels times channels, so that a hundred classes cost little more than two."""
LEAST_BLOCK_VOXELS = 2**12
SEED = 1234


class BlockJob(NamedTuple):
    """A piece of one case, around a voxel of one class: what a worker process needs."""

    label: Path
    spec: LabelSpec
    box: Box
    """The case's nonzero region."""
    name: str
    """The class or region that the block is drawn around and scored for."""
    voxels: int
    seed: int


class BlockLeakage(NamedTuple):
    """What smoothing and argmax find of one class in one block."""

    name: str
    dice: npt.NDArray[np.float64]
    """`(sigmas, levels)`."""
    chance: float


def choose_blocks(
    dataset: RawDataset, boxes: Mapping[str, Box], presence: Mapping[str, Sequence[bool]]
) -> dict[str, BlockJob]:
    """Which pieces are looked at: a few per class, in cases evenly spread over those that have it.

    Args:
        dataset: whose labels they are.
        boxes: case -> its nonzero region.
        presence: class or region -> per case (in the order of `boxes`) whether it has any.

    Returns:
        Words for the piece -> job; at most 24, whatever the number of cases and classes.
    """
    cases, spec = list(boxes), dataset.spec
    having = {name: [case for case, has in zip(cases, presence[name], strict=True) if has] for name in spec.foreground}
    names = _evenly([name for name, found in having.items() if found], MOST_BLOCKS)
    voxels = min(MOST_BLOCK_VOXELS, max(LEAST_BLOCK_VOXELS, MOST_BLOCK_NUMBERS // spec.channels))
    chosen = [(name, case) for name in names for case in _evenly(having[name], MOST_BLOCKS // len(names))]
    return {
        f"{case}, class {name}": BlockJob(dataset.label(case), spec, boxes[case], name, voxels, SEED + index)
        for index, (name, case) in enumerate(chosen)
    }


def measure_leakage(jobs: Mapping[str, BlockJob], *, processes: int) -> LabelLeakage | None:
    """The leakage curve over these blocks; None when there are none.

    A class's Dice is the mean over its blocks, by the width of smoothing that is best at that noise. The curve is the
    mean over classes of (Dice - chance)/(1 - chance).

    Raises:
        UserError: when a label cannot be read.
    """
    if not jobs:
        return None
    measured = for_each_case(examine_block, jobs, processes=processes)
    by_class: dict[str, list[BlockLeakage]] = {}
    for block in measured.values():
        by_class.setdefault(block.name, []).append(block)
    dice = {name: np.mean([block.dice for block in blocks], axis=0).max(axis=0) for name, blocks in by_class.items()}
    chance = {name: float(np.mean([block.chance for block in blocks])) for name, blocks in by_class.items()}
    leaked = np.mean([(dice[name] - chance[name]) / (1 - chance[name]) for name in dice], axis=0)
    return LabelLeakage(
        curve=LeakageCurve(log_snr=LOG_SNR, leaked=_rounded(leaked.clip(0, 1))),
        dice={name: _rounded(values) for name, values in dice.items()},
        chance={name: round(value, 4) for name, value in chance.items()},
        blocks=len(jobs),
        block_voxels=max(job.voxels for job in jobs.values()),
    )


def examine_block(job: BlockJob) -> BlockLeakage:
    """Cut the block out of its case and look at it."""
    label = read_label(job.label)[0][box_slices(job.box)]
    members = job.spec.foreground[job.name]
    block = label[block_around(label, members, job.voxels)]
    noise = np.random.default_rng(job.seed).standard_normal((job.spec.channels, *block.shape), dtype=np.float32)
    dice, chance = smoothed_dice(block, job.spec, job.name, LOG_SNR, noise)
    return BlockLeakage(job.name, dice, chance)


def block_around(label: npt.NDArray[Any], members: Sequence[int], voxels: int) -> tuple[slice, slice, slice]:
    """The block of at most so many voxels, as near to a cube as `label` allows, around the middle voxel of a class."""
    own = np.flatnonzero(np.isin(label, members))
    centre = np.unravel_index(own[len(own) // 2], label.shape)
    side = max(label.shape)
    while math.prod(min(side, length) for length in label.shape) > voxels:
        side -= 1
    slices = []
    for position, length in zip(centre, label.shape, strict=True):
        start = min(max(0, int(position) - side // 2), max(0, length - side))
        slices.append(slice(start, start + min(side, length)))
    return slices[0], slices[1], slices[2]


def smoothed_dice(
    label: npt.NDArray[Any], spec: LabelSpec, name: str, log_snr: Sequence[float], noise: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], float]:
    """Dice of one class after noising and smoothing a label map, and the Dice of guessing.

    Args:
        label: `(Z, Y, X)` integers that hold the class somewhere.
        spec: what they mean.
        name: the class or region that is scored, over annotated voxels.
        log_snr: where to look.
        noise: `(K, Z, Y, X)` standard normal.

    Returns:
        `(sigmas, levels)` float64; and for a class on the share p of voxels, guessed with probability q (one in K
        classes; a half for a region), 2pq/(p + q).
    """
    known = np.ones(label.shape, dtype=bool) if spec.ignore is None else label != spec.ignore
    channels = ([] if spec.has_regions else [(0,)]) + list(spec.foreground.values())
    mine = list(spec.foreground).index(name) + (0 if spec.has_regions else 1)
    truth = np.isin(label, channels[mine])[known]  # (n,)
    x0 = np.stack([np.isin(label, members) * np.float32(2) - 1 for members in channels]) * known
    if spec.has_regions:  # a region is read from its own channel alone
        x0, noise, mine = x0[mine, None], noise[mine, None], 0
    dice = np.empty((len(SIGMAS), len(log_snr)))
    for row, sigma in enumerate(SIGMAS):
        # Smoothing is linear, and a positive factor changes no argmax: x_t/√(1-ᾱ) = √(ᾱ/(1-ᾱ))·x0 + ε.
        seen_x0, seen_noise = _smooth(x0, sigma)[:, known], _smooth(noise, sigma)[:, known]  # (K, n)
        for column, value in enumerate(log_snr):
            seen = np.float32(math.exp(value / 2)) * seen_x0 + seen_noise
            guess = seen[0] > 0 if spec.has_regions else seen.argmax(axis=0) == mine
            dice[row, column] = 2 * np.count_nonzero(guess & truth) / max(1, guess.sum() + truth.sum())
    share, guessed = float(truth.mean()), 0.5 if spec.has_regions else 1 / len(channels)
    return dice, 2 * share * guessed / (share + guessed)


def _smooth(channels: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    if sigma == 0:
        return channels
    widths = [0, *(sigma if length > 1 else 0 for length in channels.shape[1:])]
    smoothed: npt.NDArray[np.float32] = ndimage.gaussian_filter(channels, widths, truncate=3)
    return smoothed


def _evenly(items: Sequence[str], most: int) -> list[str]:
    """At most so many of the items, evenly spread over their order."""
    count = min(len(items), most)
    return [items[(2 * index + 1) * len(items) // (2 * count)] for index in range(count)]


def _rounded(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
