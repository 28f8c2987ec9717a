"""The phantom's maths: an image of two nested tissues among look-alikes, and its label map.

The target is a shell around an off-centre core. Balls of the core's intensity and sheets of the shell's lie elsewhere,
and the tissue around varies over both intensities. So no threshold finds the target: only shape and neighbourhood do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

CORE, SHELL = 1, 2
FINE = 2  # fine voxels per voxel and axis, for partial volume
# Intensities before bias and noise; tissue varies smoothly over the range between its two.
AIR, TISSUE, CORE_INTENSITY, SHELL_INTENSITY = 5.0, (70.0, 145.0), 134.0, 84.0
BIAS = 0.12  # standard deviation of the logarithm of the bias field
NOISE = 8.0  # standard deviation of each of the two channels of the Rician noise

Floats = npt.NDArray[np.float64]


class Phantom(NamedTuple):
    """One case."""

    image: npt.NDArray[np.float32]
    """`(Z, Y, X)`, intensities from 0 to about 250."""
    label: npt.NDArray[np.uint8]
    """`(Z, Y, X)`: 0 background, 1 core, 2 shell."""


def make_phantom(
    generator: np.random.Generator, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> Phantom:
    """Draw one case.

    Args:
        generator: the only source of randomness.
        shape: voxels along (z, y, x); z = 1 makes a 2D image.
        spacing: mm along (z, y, x); structures are round in mm, not in voxels.
    """
    size_mm = np.array([size * step for size, step in zip(shape, spacing, strict=True)])
    solid = np.array(shape) > 1  # a flat axis takes no part in any place or direction
    extent_mm = float(size_mm[solid].min())
    fine = tuple(1 if size == 1 else FINE * size for size in shape)
    points = _grid(fine, size_mm)

    def wobble(scale: float) -> Floats:
        return smooth_noise(generator, fine, tuple(scale * extent_mm * np.array(fine) / size_mm))

    body = _blob(points, np.zeros(3), 0.52 * size_mm) + 0.06 * wobble(0.15)
    inside = body > 0
    outline = 0.14 * wobble(0.09)
    centre = solid * generator.uniform(-0.15, 0.15, 3) * size_mm
    radii = extent_mm * generator.uniform(0.22, 0.3, 3)
    level = _blob(points, centre, radii) + outline
    whole = (level > 0) & inside
    aside = solid * generator.standard_normal(3)
    core_centre = centre + 0.25 * radii * aside / np.linalg.norm(aside)
    core = whole & (_blob(points, core_centre, 0.66 * radii) + 0.7 * outline > 0)
    elsewhere = inside & (level < -0.14)  # look-alikes do not touch the target

    rank = np.clip(0.5 + 0.22 * wobble(0.06), 0, 1)
    scene = np.where(inside, TISSUE[0] + rank * (TISSUE[1] - TISSUE[0]), AIR)
    for _ in range(generator.integers(4, 7)):
        place = solid * generator.uniform(-0.4, 0.4, 3) * size_mm
        radius = np.full(3, extent_mm * generator.uniform(0.08, 0.14))
        scene[(_blob(points, place, radius) + outline > 0) & elsewhere] = CORE_INTENSITY
    scene[(np.abs(wobble(0.16)) < 0.16) & elsewhere] = SHELL_INTENSITY
    scene[whole] = SHELL_INTENSITY
    scene[core] = CORE_INTENSITY

    bias = np.exp(BIAS * smooth_noise(generator, shape, tuple(0.35 * extent_mm * np.array(shape) / size_mm)))
    image = rician(generator, _average(scene, shape) * bias, NOISE)
    fractions = [_average(part.astype(float), shape) for part in (~whole, core, whole & ~core)]
    return Phantom(image.astype(np.float32), np.argmax(fractions, axis=0).astype(np.uint8))


def smooth_noise(generator: np.random.Generator, shape: tuple[int, ...], scale: tuple[float, ...]) -> Floats:
    """Smooth noise of mean 0 and standard deviation 1: Gaussian bumps of random height on a grid of nodes.

    Args:
        generator: draws the heights.
        shape: of the result.
        scale: distance of neighbouring nodes in voxels per axis; bumps have 0.8 of it as standard deviation.
    """
    weights = []
    for size, step in zip(shape, scale, strict=True):
        nodes = np.arange(-2 * step, size + 2 * step, step) if size > 1 else np.zeros(1)
        weights.append(np.exp(-0.5 * ((np.arange(size)[:, None] - nodes) / (0.8 * step)) ** 2))  # (size, nodes)
    field: Floats = generator.standard_normal([axis.shape[1] for axis in weights])
    for axis in weights:
        field = np.tensordot(field, axis, axes=([0], [1]))  # the first axis leaves, its voxels come last
    field -= field.mean()
    field /= field.std()
    return field


def rician(generator: np.random.Generator, signal: Floats, sigma: float) -> Floats:
    """The magnitude of a complex signal with Gaussian noise `sigma` in both parts, as an MR scanner stores it."""
    real = signal + sigma * generator.standard_normal(signal.shape)
    imaginary = sigma * generator.standard_normal(signal.shape)
    magnitude: Floats = np.hypot(real, imaginary)
    return magnitude


def _grid(fine: tuple[int, ...], size_mm: Floats) -> list[Floats]:
    """Centres of the fine voxels in mm from the middle of the image, one open array per axis."""
    axes = [((np.arange(many) + 0.5) / many - 0.5) * size for many, size in zip(fine, size_mm, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def _blob(points: list[Floats], centre: Floats, radii: Floats) -> Floats:
    """1 at the centre of an ellipsoid, 0 on its surface, negative outside."""
    squares = [((axis - middle) / radius) ** 2 for axis, middle, radius in zip(points, centre, radii, strict=True)]
    level: Floats = 1 - np.sqrt(squares[0] + squares[1] + squares[2])
    return level


def _average(fine: Floats, shape: tuple[int, int, int]) -> Floats:
    """Mean over the fine voxels of each voxel: partial volume."""
    blocks = [(size, many // size) for size, many in zip(shape, fine.shape, strict=True)]
    mean: Floats = fine.reshape([number for block in blocks for number in block]).mean(axis=(1, 3, 5))
    return mean
