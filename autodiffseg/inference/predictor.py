"""CasePredictor: the sliding window. It averages probabilities and knows nothing of how they come about."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autodiffseg.errors import UserError
from autodiffseg.inference.mirroring import all_mirrors, apply_mirrors, undo_mirrors
from autodiffseg.inference.noise_field import NoiseField, WindowNoise
from autodiffseg.inference.window_sum import Planes, WindowSum
from autodiffseg.inference.windows import gaussian_weight, origins, padding
from autodiffseg.plans import ConfigurationPlan
from autodiffseg.sampling import NoiseSource, Sampling

# Measured with the `cpu` preset's network on two cores: 40x56x40 and 256x256 patches are fastest two to four at a
# time (8 take a third longer each), 40x56 patches 16 to 24 at a time (a third of the time of single ones).
CPU_VOXELS = 2**18
CPU_TILES = 32


class PatchModel(Protocol):
    """What a trainer offers to inference."""

    def predict_steps(self, patch: Tensor, noise: NoiseSource, sampling: Sampling) -> Iterator[Tensor]:
        """Probabilities after every sampling step; the last is the answer (supervised yields once).

        Args:
            patch: `(B, C, *patch)` float32.
            noise: standard normal noise of these patches.
            sampling: steps and sampler; supervised trainers ignore it.

        Yields:
            `(B, K, *patch)` float32 in [0, 1].
        """
        ...


class CasePredictor:
    """Predicts preprocessed cases patch by patch.

    The result is the weighted mean of probabilities over windows (Gaussian weight), mirrors and models. Averaging
    their logarithms would let one confident window veto the others. A generative model runs its whole trajectory in
    each window, on noise cut from one field per case.
    """

    def __init__(
        self,
        models: Sequence[PatchModel],
        configuration: ConfigurationPlan,
        *,
        channels: int,
        device: torch.device,
        sampling: Sampling,
        seed: int = 0,
        step_size: float = 0.5,
        mirroring: bool = True,
        tiles_per_batch: int | None = None,
    ) -> None:
        """Predict with `models` together.

        Args:
            models: one per fold or member; all see the same noise.
            configuration: patch size, dimensions and mirror axes.
            channels: K, the models' output channels.
            device: where the models run and the result is summed up.
            sampling: steps and sampler.
            seed: of the noise.
            step_size: largest distance between windows as a fraction of the patch, in (0, 1].
            mirroring: average over the plan's mirror axes as well.
            tiles_per_batch: patches per network call, mirrored ones included; it does not change the result. Default:
                twice the training batch, since no activations are kept for gradients; on a CPU what fills its caches.
        """
        if tiles_per_batch is None:
            filling = min(max(1, CPU_VOXELS // math.prod(configuration.patch_size)), CPU_TILES)
            tiles_per_batch = filling if device.type == "cpu" else 2 * configuration.batch_size
        if not models or not 0 < step_size <= 1 or tiles_per_batch < 1:
            raise ValueError(
                f"got {len(models)} models, step_size {step_size}, tiles_per_batch {tiles_per_batch}; "
                "needed are one or more models, 0 < step_size <= 1 (else windows leave gaps), tiles_per_batch >= 1"
            )
        self._models = tuple(models)
        self._patch = configuration.patch_size
        self._window = (*(1,) * (3 - configuration.dimensions), *self._patch)
        self._channels = channels
        self._device = device
        self._sampling = sampling
        self._seed = seed
        self._step_size = step_size
        mirrors = all_mirrors(configuration.mirror_axes if mirroring else ())
        self._mirror_batches = [mirrors[n : n + tiles_per_batch] for n in range(0, len(mirrors), tiles_per_batch)]
        self._windows_per_batch = max(1, tiles_per_batch // len(mirrors))
        self._weight = gaussian_weight(self._window, device)
        self._terms = len(self._models) * len(mirrors)

    def predict(self, image: npt.NDArray[np.float32], case: str, *, sample: int = 0) -> npt.NDArray[np.float32]:
        """Probabilities `(K, Z, Y, X)` of a preprocessed image `(C, Z, Y, X)`.

        Args:
            image: a whole case.
            case: its name: part of the key of its noise.
            sample: another number, another draw of a generative model.

        Raises:
            UserError: when the network's output is not finite.
        """
        last: npt.NDArray[np.float32] = _whole(self.predict_planes(image, case, sample=sample), image.shape[1:])[0]
        return last

    def predict_every_step(
        self, image: npt.NDArray[np.float32], case: str, *, sample: int = 0
    ) -> npt.NDArray[np.float32]:
        """Probabilities after every sampling step, `(S, K, Z, Y, X)`; `predict` gives the last of them.

        Raises:
            UserError: when the network's output is not finite.
        """
        return _whole(self.predict_planes(image, case, sample=sample, every_step=True), image.shape[1:])

    @torch.inference_mode()
    def predict_planes(
        self, image: npt.NDArray[np.float32], case: str, *, sample: int = 0, every_step: bool = False
    ) -> Iterator[Planes]:
        """What `predict` gives, in pieces from the first plane to the last; the whole is never held here.

        Yields:
            Probabilities `(S, K, planes, Y, X)`; S is 1, or the steps with `every_step`.

        Raises:
            UserError: when the network's output is not finite.
        """
        field = NoiseField(case, seed=self._seed, sample=sample)
        shape = image.shape[1:]
        pads = padding(shape, self._window)
        before = [low for low, _ in pads]
        # np.pad always copies, so the memory is torch's to keep.
        padded = torch.from_numpy(np.pad(image, ((0, 0), *pads)).astype(np.float32, copy=False)).to(self._device)
        windows = origins(padded.shape[1:], self._window, self._step_size)
        summed = WindowSum(padded.shape[1:], self._weight, self._terms)
        for start in range(0, len(windows), self._windows_per_batch):
            batch = windows[start : start + self._windows_per_batch]
            places = [[at - low for at, low in zip(origin, before, strict=True)] for origin in batch]
            noise = WindowNoise(field, places, self._patch, device=self._device)
            patches = torch.stack([padded[:, *_box(origin, self._window)] for origin in batch])
            patches = patches.reshape(len(batch), len(padded), *self._patch)  # (B, C, *patch): 2D loses its slice axis
            sums = torch.stack(self._sum_answers(patches, noise, every_step=every_step))  # (S, B, K, *patch)
            sums = sums.reshape(*sums.shape[:3], *self._window)
            for number, origin in enumerate(batch):
                for first, mean in summed.add(sums[:, number], origin):
                    yield self._inside(first, mean, before, shape, case)
        yield self._inside(*summed.finish(), before, shape, case)

    def _inside(self, first: int, mean: Tensor, before: Sequence[int], shape: Sequence[int], case: str) -> Planes:
        """Planes of the padded case without the padding; where the first axis is padded they are all planes."""
        inside = mean[:, :, *_box(before, (min(mean.shape[2], shape[0]), *shape[1:]))]
        values: npt.NDArray[np.float32] = inside.cpu().numpy()
        if not np.isfinite(values).all():
            raise UserError(f"Case '{case}': the network's output is not finite; try --precision fp32.")
        return Planes(first, values)

    def _sum_answers(self, patches: Tensor, noise: WindowNoise, *, every_step: bool) -> list[Tensor]:
        """Probabilities of `(B, C, *patch)`, summed over models and mirrors: `(B, K, *patch)` per step."""
        sums: list[Tensor] = []
        # One by one in a fixed order, so that the sum does not depend on how mirrors were put into batches.
        for answer in self._answers(patches, noise, every_step=every_step):
            if sums and len(sums) != len(answer):
                raise ValueError(f"models of {len(sums)} and {len(answer)} steps cannot be averaged step by step")
            sums = [a + b for a, b in zip(sums, answer, strict=True)] if sums else answer
        return sums

    def _answers(self, patches: Tensor, noise: WindowNoise, *, every_step: bool) -> Iterator[list[Tensor]]:
        """For each model and each mirror the answers turned back: every step's, or the last alone."""
        for model in self._models:
            for mirrors in self._mirror_batches:
                batch = apply_mirrors(patches, mirrors)  # (mirrors * B, C, *patch)
                steps = model.predict_steps(batch, noise.mirrored(mirrors), self._sampling)
                kept = list(steps) if every_step else list(deque(steps, maxlen=1))
                wanted = (len(batch), self._channels, *self._patch)
                for step in kept:
                    if step.shape != wanted:
                        raise ValueError(f"the model gave {tuple(step.shape)}, wanted are probabilities {wanted}")
                for answer in zip(*(undo_mirrors(step, mirrors) for step in kept), strict=True):
                    yield list(answer)


def _box(origin: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(start, start + size) for start, size in zip(origin, shape, strict=True))


def _whole(pieces: Iterator[Planes], shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """All planes of a case together, `(S, K, *shape)`."""
    whole = np.zeros(0, np.float32)
    for first, values in pieces:
        if first == 0:
            whole = np.empty((*values.shape[:2], *shape), np.float32)
        whole[:, :, first : first + values.shape[2]] = values
    return whole
