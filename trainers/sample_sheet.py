"""Sample sheets: images that a denoiser makes of noise, beside real ones, so that one sees what it has learnt."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from autodiffseg.atomic import atomic_path
from autodiffseg.diffusion.respacing import respaced_steps
from autodiffseg.diffusion.samplers import ddpm_step

STEPS = 100
MOST_IMAGES = {2: 8, 3: 4}
"""By dimensions; and no more than a training batch, which is known to fit into memory."""
MOST_SECONDS = 60.0
"""A sheet that would take longer is not made: it must not be in the way of the training."""
PROBE = 3
"""Steps by which the time of all is judged; the first is slow on a GPU, which looks for its kernels then."""
MOST_CHANNELS = 3

PredictNoise = Callable[[Tensor, float], Tensor]
"""x_t `(B, C, *patch)` and its ᾱ -> ε̂ like x_t, float32."""


@torch.no_grad()
def generated_images(
    predict_noise: PredictNoise,
    real: Tensor,
    alpha_bar: Tensor,
    *,
    rng: torch.Generator,
    steps: int = STEPS,
    seconds: float = MOST_SECONDS,
) -> Tensor | None:
    """Images made of noise by DDPM (arXiv 2006.11239), in the intensities of real ones.

    Fresh noise at every step makes up for what the steps before did wrong. Without it (DDIM) most images of our
    networks end in noise: their instance norms do not see how strong the noise that is left really is.

    Args:
        predict_noise: the denoiser.
        real: `(B, C, *patch)`: how many at most, how large, and between which intensities x0 is clipped. At the first
            steps x0 is a small difference divided by nearly nothing.
        alpha_bar: of all base steps, `(T,)` float64, on the CPU.
        rng: on the device of `real`.
        steps: of sampling, fewer where there are fewer base steps.
        seconds: that all may take, judged after a few steps.

    Returns:
        `(N, C, *patch)`, or None where it would take too long.
    """
    real = real[: MOST_IMAGES[real.ndim - 2]]
    steps = min(steps, len(alpha_bar))
    levels = alpha_bar[respaced_steps(len(alpha_bar), steps, "trailing").flip(0)].tolist()
    shape = (1, -1, *([1] * (real.ndim - 2)))
    lowest, highest = (limit.reshape(shape) for limit in real.transpose(0, 1).flatten(1).aminmax(dim=1))
    x_t, began = torch.randn(real.shape, generator=rng, device=real.device), 0.0
    for step, (here, there) in enumerate(pairwise([*levels, 1.0])):
        x0 = (x_t - math.sqrt(1 - here) * predict_noise(x_t, here)) / math.sqrt(here)
        fresh = torch.randn(real.shape, generator=rng, device=real.device)
        x_t = ddpm_step(x_t, x0.clamp(lowest, highest), here, there, fresh)  # at the last step x0 itself
        if step == 0:
            began = _time_after(x_t)
        elif step == PROBE and (_time_after(x_t) - began) / PROBE * steps > seconds:
            return None
    return x_t


def draw_sheet(real: Tensor, generated: Tensor, path: Path, *, update: int) -> None:
    """Write real and generated images as rows of a PNG; of volumes the middle slice across the first axis.

    Each image has a contrast of its own: a network with instance norms does not see how bright its input is, so the
    brightness of what it makes drifts and means nothing.

    Args:
        real: `(N, C, *patch)`, on the CPU.
        generated: like `real`.
        path: of the PNG.
        update: after which it was made, for the title.
    """
    from matplotlib.figure import Figure

    channels = min(real.shape[1], MOST_CHANNELS)
    rows = [
        (f"{name}{f', channel {channel}' if channels > 1 else ''}", slices[:, channel])
        for channel in range(channels)
        for name, slices in (("kept back", _slices(real)), ("generated", _slices(generated)))
    ]
    height, width = rows[0][1].shape[1:]
    figure = Figure(figsize=(1.3 * len(real) + 0.4, 1.3 * height / width * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), len(real), squeeze=False)
    for axes, (name, slices) in zip(grid, rows, strict=True):
        for place, image in zip(axes, slices, strict=True):
            place.imshow(image.numpy(), cmap="gray", interpolation="nearest")
            place.set_xticks([])
            place.set_yticks([])
        axes[0].set_ylabel(name, fontsize=8)
    figure.suptitle(f"After {update:,} updates", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _slices(images: Tensor) -> Tensor:
    """`(N, C, *patch)` -> `(N, C, Y, X)`."""
    return images if images.ndim == 4 else images[:, :, images.shape[2] // 2]


def _time_after(x: Tensor) -> float:
    """The time when `x` is there: a GPU works behind."""
    x.sum().item()
    return time.perf_counter()
