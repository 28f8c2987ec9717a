"""All windows of a case step by step: after every step their mean leads on, from one x_t of the whole case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from autodiffseg.diffusion.trajectory import Trajectory
from autodiffseg.inference.mirroring import Mirror, apply_mirrors, sum_of_mirrors
from autodiffseg.inference.noise_field import NoiseField
from autodiffseg.inference.tiled_case import Origin, TiledCase

RunCalls = Callable[[Callable[["Job"], list[Tensor]], Sequence["Job"]], Iterator[list[Tensor]]]


class Job(NamedTuple):
    """What one network call works on."""

    windows: list[Origin]
    mirrors: Sequence[Mirror]
    """Versions of every window."""


def synchronised_steps(
    tiled: TiledCase,
    way: Trajectory,
    field: NoiseField,
    batches: Sequence[list[Origin]],
    groups: Sequence[Sequence[Mirror]],
    run: RunCalls,
) -> Iterator[Tensor]:
    """Probabilities of the whole padded case after every step, each the mean over windows and mirrors.

    Args:
        tiled: the case; x_t lies where it does.
        way: of one model.
        field: the noise of the case.
        batches: the windows in order, as many together as a call takes.
        groups: the mirrored versions in order, likewise.
        run: makes network calls, results in order.

    Yields:
        `(K, *padded)` float32.
    """

    def noise(step: int, channels: int) -> Tensor:
        # Made where the network runs, wherever x_t lies: so the numbers do not depend on the free memory of a GPU.
        (depth, *size), (top, *corner) = tiled.padded, [-low for low in tiled.before]
        slabs = []
        for first in range(0, depth, tiled.window[0]):
            shape, origin = (min(tiled.window[0], depth - first), *size), (top + first, *corner)
            slab = field.window(step, channels, origin=origin, shape=shape, device=tiled.device)
            slabs.append(slab.to(tiled.image.device))
        return torch.cat(slabs, dim=1)

    jobs = [Job(batch, mirrors) for batch in batches for mirrors in groups]
    x_t = way.start(noise)  # (K, *padded)
    previous: Tensor | None = None
    for done, level in enumerate(way.levels, start=1):

        def call(job: Job, x_t: Tensor = x_t, level: float = level, previous: Tensor | None = previous) -> list[Tensor]:
            volumes = (tiled.image, x_t, previous)
            image, noised, before = (None if volume is None else _seen(tiled, volume, job) for volume in volumes)
            assert image is not None
            assert noised is not None
            with torch.inference_mode():
                return [way.denoise(image, noised, level, before)]  # (mirrors * B, K, *patch)

        answers = run(call, jobs)
        total = torch.zeros((way.channels, *tiled.padded), device=tiled.image.device)
        for batch in batches:
            (sums,) = sum_of_mirrors(answers, groups)
            for origin, window in zip(batch, tiled.as_windows(sums), strict=True):
                total[:, *tiled.box(origin)] += window * tiled.weight
        previous = total.div_(tiled.weights * sum(map(len, groups)))
        yield previous
        if done < len(way.levels):
            x_t = way.advance(done, x_t, previous, noise)


def _seen(tiled: TiledCase, volume: Tensor, job: Job) -> Tensor:
    """Windows of a volume and their mirrored versions, `(mirrors * B, c, *patch)`."""
    return apply_mirrors(tiled.cut(volume, job.windows), job.mirrors)
