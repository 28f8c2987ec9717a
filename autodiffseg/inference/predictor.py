"""CasePredictor: the sliding window. It averages probabilities and knows nothing of how they come about."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autodiffseg.diffusion.trajectory import Trajectory
from autodiffseg.errors import UserError
from autodiffseg.inference.call_plan import CallBytes, CallPlan, plan_calls, require_room
from autodiffseg.inference.calls import deterministic_kernels, ordered_calls
from autodiffseg.inference.mirroring import Mirror, apply_mirrors, checked_axes, mirrors_of_sample, sum_of_mirrors
from autodiffseg.inference.noise_field import NoiseField, WindowNoise
from autodiffseg.inference.patch_model import PatchModel
from autodiffseg.inference.synchronised import synchronised_steps
from autodiffseg.inference.tiled_case import Origin, TiledCase, whole_volumes, window_of
from autodiffseg.inference.window_options import WindowOptions
from autodiffseg.inference.window_sum import Planes, WindowSum
from autodiffseg.plans import ConfigurationPlan
from autodiffseg.sampling import Sampling

Item = TypeVar("Item")


class Job(NamedTuple):
    """What one network call works on, from noise to answer."""

    model: PatchModel
    windows: list[Origin]
    noise: WindowNoise
    mirrors: Sequence[Mirror]


class CasePredictor:
    """Predicts preprocessed cases window by window.

    The result is the weighted mean of probabilities over windows (Gaussian weight), mirrors and models. Averaging
    their logarithms would let one confident window veto the others. A generative model runs on noise cut from one
    field per case.
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
        options: WindowOptions | None = None,
        call_bytes: CallBytes | None = None,
    ) -> None:
        """Predict with `models` together.

        Args:
            models: one per fold or member; all see the same noise.
            configuration: patch size, dimensions and mirror axes.
            channels: K, the models' output channels.
            device: where the models run and, if it has the memory, the result is summed up.
            sampling: steps and sampler.
            seed: of the noise.
            options: windows and mirrors.
            call_bytes: of the costliest model; None: memory is not looked at.

        Raises:
            UserError: when the options name mirror axes that a patch does not have.
        """
        if not models:
            raise ValueError("one model or more is needed")
        self._models = tuple(models)
        self._configuration = configuration
        self._channels = channels
        self._device = device
        self._sampling = sampling
        self._seed = seed
        self._options = options or WindowOptions()
        self._axes = checked_axes(self._options.mirror_axes, configuration)
        self._call_bytes = call_bytes

    def predict(self, image: npt.NDArray[np.float32], case: str, *, sample: int = 0) -> npt.NDArray[np.float32]:
        """Probabilities `(K, Z, Y, X)` of a preprocessed image `(C, Z, Y, X)`.

        Args:
            image: a whole case.
            case: its name: part of the key of its noise.
            sample: another number, another draw of a generative model.

        Raises:
            UserError: when the network's output is not finite, or the memory cannot hold the whole case at once.
        """
        last: npt.NDArray[np.float32] = _whole(self.predict_planes(image, case, sample=sample), image.shape[1:])[0]
        return last

    def predict_every_step(
        self, image: npt.NDArray[np.float32], case: str, *, sample: int = 0
    ) -> npt.NDArray[np.float32]:
        """Probabilities after every sampling step, `(S, K, Z, Y, X)`; `predict` gives the last of them.

        Raises:
            UserError: as `predict`.
        """
        return _whole(self.predict_planes(image, case, sample=sample, every_step=True), image.shape[1:])

    @torch.inference_mode()
    def predict_planes(
        self, image: npt.NDArray[np.float32], case: str, *, sample: int = 0, every_step: bool = False
    ) -> Iterator[Planes]:
        """What `predict` gives, in pieces from the first plane to the last; `tile` never holds the whole.

        Yields:
            Probabilities `(S, K, planes, Y, X)`; S is 1, or the steps with `every_step`.

        Raises:
            UserError: as `predict`.
        """
        mirrors = mirrors_of_sample(self._axes, sample, rotate=self._options.rotate_mirrors)
        tiled, plan = self._prepare(image, case, every_step=every_step)
        field = NoiseField(case, seed=self._seed, sample=sample)
        run = _Run(tiled, plan, mirrors, field, deterministic=self._options.deterministic)
        mode = self._options.mode
        ways = [model.trajectory(self._sampling) if mode == "synchronised" else None for model in self._models]
        if any(ways):
            yield Planes(0, _inside(tiled, self._synchronised(run, ways, every_step=every_step), case))
            return
        summed = WindowSum(tiled.padded, tiled.weight, len(self._models) * len(mirrors))
        for origin, window in self._windows(run, self._models, every_step=every_step):
            for first, mean in summed.add(window, origin):
                yield Planes(first, _inside(tiled, mean, case))
        first, mean = summed.finish()
        yield Planes(first, _inside(tiled, mean, case))

    def _prepare(self, image: npt.NDArray[np.float32], case: str, *, every_step: bool) -> tuple[TiledCase, CallPlan]:
        """The case cut into windows, and how the network is to be called for it."""
        options = self._options
        window = window_of(image.shape[1:], self._configuration, options.mode)
        patch = window[3 - self._configuration.dimensions :]
        volumes = whole_volumes(
            image.shape,
            window,
            options.mode,
            channels=self._channels,
            steps=self._sampling.steps if every_step else 1,
        )
        plan = plan_calls(
            patch,
            4 * volumes,
            self._call_bytes,
            device=self._device,
            patches=options.patches,
            deterministic=options.deterministic,
        )
        if options.mode == "volume" and self._call_bytes is not None:
            require_room(self._call_bytes(1, patch), 4 * volumes, case, plan.home, self._device)
        tiled = TiledCase(
            image,
            self._configuration,
            mode=options.mode,
            step_size=options.step_size,
            home=plan.home,
            device=self._device,
        )
        return tiled, plan

    def _windows(self, run: _Run, models: Sequence[PatchModel], *, every_step: bool) -> Iterator[tuple[Origin, Tensor]]:
        """Each window in order with its answers, summed over models and mirrors: `(S, K, *window)`."""

        def jobs() -> Iterator[Job]:
            for batch in run.batches:
                noise = run.noise(batch)
                yield from (Job(model, batch, noise, mirrors) for model in models for mirrors in run.groups)

        answer = partial(self._answer, run.tiled, every_step=every_step)
        answers = run.calls(answer, jobs(), len(run.batches) * len(models) * len(run.groups))
        for batch in run.batches:
            sums = torch.stack(sum_of_mirrors(answers, run.groups * len(models)))  # (S, B, K, *patch)
            yield from zip(batch, run.tiled.as_windows(sums).movedim(1, 0), strict=True)

    @torch.inference_mode()
    def _answer(self, tiled: TiledCase, job: Job, *, every_step: bool) -> list[Tensor]:
        """Probabilities `(mirrors * B, K, *patch)` after every step, or the last alone."""
        batch = apply_mirrors(tiled.cut(tiled.image, job.windows), job.mirrors)  # (mirrors * B, C, *patch)
        steps = job.model.predict_steps(batch, job.noise.mirrored(job.mirrors), self._sampling)
        kept = list(steps) if every_step else list(deque(steps, maxlen=1))
        wanted = (len(batch), self._channels, *tiled.patch)
        for step in kept:
            if step.shape != wanted:
                raise ValueError(f"the model gave {tuple(step.shape)}, wanted are probabilities {wanted}")
        return kept

    def _synchronised(self, run: _Run, ways: Sequence[Trajectory | None], *, every_step: bool) -> Tensor:
        """Mean over the models of the whole padded case, `(S, K, *padded)`; each model goes its own way."""
        tiled, total = run.tiled, None
        for model, way in zip(self._models, ways, strict=True):
            if way is None:
                steps = self._together(run, model)
            else:
                means = synchronised_steps(
                    tiled, way, run.field, run.batches, run.groups, lambda call, jobs: run.calls(call, jobs, len(jobs))
                )
                steps = torch.stack(list(means) if every_step else list(deque(means, maxlen=1)))
            if total is not None and len(total) != len(steps):
                raise ValueError(f"models of {len(total)} and {len(steps)} steps cannot be averaged step by step")
            total = steps if total is None else total.add_(steps)
        assert total is not None
        return total.div_(len(self._models))

    def _together(self, run: _Run, model: PatchModel) -> Tensor:
        """Answer of a model of one step for the whole padded case, `(1, K, *padded)`."""
        tiled = run.tiled
        total = torch.zeros((1, self._channels, *tiled.padded), device=tiled.image.device)
        for origin, window in self._windows(run, [model], every_step=True):
            if len(window) > 1:
                raise UserError(
                    f"--mode synchronised: {type(model).__name__} takes its steps by itself (it has no trajectory); "
                    "use --mode tile."
                )
            total[:, :, *tiled.box(origin)] += window * tiled.weight
        return total.div_(tiled.weights * sum(map(len, run.groups)))


class _Run:
    """What is fixed for one sample of one case: batches of windows, groups of mirrored versions, noise and calls."""

    def __init__(
        self, tiled: TiledCase, plan: CallPlan, mirrors: Sequence[Mirror], field: NoiseField, *, deterministic: bool
    ) -> None:
        self.tiled, self.field = tiled, field
        self.groups = [mirrors[n : n + plan.patches] for n in range(0, len(mirrors), plan.patches)]
        self.batches = tiled.batches(max(1, plan.patches // len(mirrors)))
        self._plan, self._deterministic = plan, deterministic

    def noise(self, batch: Sequence[Origin]) -> WindowNoise:
        """Of these windows."""
        return WindowNoise(self.field, self.tiled.places(batch), self.tiled.patch, device=self.tiled.device)

    def calls(self, call: Callable[[Item], list[Tensor]], jobs: Iterable[Item], count: int) -> Iterator[list[Tensor]]:
        """Results of `count` network calls, in order."""
        at_once, threads = self._plan.share_out(count, deterministic=self._deterministic)
        on_gpu = self.tiled.device.type == "cuda"
        with deterministic_kernels() if self._deterministic and on_gpu else nullcontext():
            yield from ordered_calls(call, jobs, at_once=at_once, threads=threads)


def _inside(tiled: TiledCase, mean: Tensor, case: str) -> npt.NDArray[np.float32]:
    """Planes without the padding, `(S, K, planes, Y, X)`; where the first axis is padded they are all planes."""
    (top, *rest), (height, *size) = tiled.before, tiled.shape
    planes = slice(top, top + min(mean.shape[2], height))
    values: npt.NDArray[np.float32] = (
        mean[:, :, planes, *(slice(low, low + length) for low, length in zip(rest, size, strict=True))].cpu().numpy()
    )
    if not np.isfinite(values).all():
        raise UserError(f"Case '{case}': the network's output is not finite; try --precision fp32.")
    return values


def _whole(pieces: Iterator[Planes], shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """All planes of a case together, `(S, K, *shape)`."""
    whole = np.zeros(0, np.float32)
    for first, values in pieces:
        if first == 0:
            whole = np.empty((*values.shape[:2], *shape), np.float32)
        whole[:, :, first : first + values.shape[2]] = values
    return whole
