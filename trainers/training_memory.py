"""How much memory a trainer's own training step takes, counted on the meta device: no GPU, nothing computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from autodiffseg.dataloading.batches import Batch
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.losses.segmentation import Loss
from autodiffseg.memory.autocast_lists import Place
from autodiffseg.memory.estimate import TrainingMemory
from autodiffseg.memory.live_tensors import CUDA_BLOCK, LiveTensors
from autodiffseg.memory.stand_in import meta_stands_for
from autodiffseg.plans import Plan
from autodiffseg.runs import RunRecord

from .options import LearningOptions
from .precision import Precision

if TYPE_CHECKING:
    from .learner import Learner
    from .loop import Loop

Kind = TypeVar("Kind", bound="Learner")


def training_memory(
    cls: type[Learner],
    plan: Plan,
    configuration: str,
    dataset: DatasetJson,
    options: LearningOptions,
    *,
    precision: Precision = "fp16",
    place: Place = "cuda",
    block: int = CUDA_BLOCK,
    processes: int = 1,
) -> TrainingMemory:
    """Count the tensors of an update step of a trainer, made by the training loop itself, as if it were the second.

    So everything that the trainer does is in it: a first pass without gradient, the number of classes, conditioning,
    deep supervision. The state of the optimiser and the gradients that the first update leaves are there from the
    beginning.

    Args:
        cls: the trainer.
        plan: patch, batch and network.
        configuration: of the plan.
        dataset: labels and channels.
        options: of the trainer.
        precision: number type of the network.
        place: whose rules of autocast hold.
        block: bytes to whose multiples every tensor is rounded up.
        processes: that train together, each on a GPU of its own; more than one need buckets for their gradients.

    Raises:
        UserError: when the trainer cannot be run without data; the message says why.
    """
    with meta_stands_for(place), _told_in_a_line(cls):
        trainer = _on_meta(cls, plan, configuration, dataset, options, precision)
        found = trace(trainer, meta_batch(trainer), block=block, all_at_once=place == "cuda")
    if processes == 1:
        return found
    buckets = sum(parameter.nbytes for parameter in trainer.network.parameters() if parameter.requires_grad)
    return replace(found, peak=found.peak + buckets, buckets=buckets)


@contextmanager
def meta_twin(trainer: Kind) -> Iterator[Kind]:
    """A trainer like `trainer` on the meta device, to run steps with in the block.

    Raises:
        UserError: when the trainer cannot be run without data.
    """
    cls = type(trainer)
    with _told_in_a_line(cls):
        yield _on_meta(
            cls, trainer.plan, trainer.configuration_name, trainer.dataset, trainer.options, trainer.precision
        )


def _on_meta(
    cls: type[Kind],
    plan: Plan,
    configuration: str,
    dataset: DatasetJson,
    options: LearningOptions,
    precision: Precision,
) -> Kind:
    meta = torch.device("meta")
    with meta:
        return cls(plan, configuration, dataset, options, device=meta, precision=precision)


@contextmanager
def _told_in_a_line(cls: type[Learner]) -> Iterator[None]:
    """Whatever a trainer of someone else does with numbers that are not there becomes a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"The memory of {cls.__name__} cannot be traced without data: {reason:.200}") from error


def meta_batch(trainer: Learner) -> Batch:
    """A batch of the plan's size without content."""
    planned, device = trainer.configuration, trainer.device
    image = torch.empty((planned.batch_size, trainer.image_channels, *planned.patch_size), device=device)
    label = torch.empty((planned.batch_size, *planned.patch_size), dtype=torch.int16, device=device)
    return Batch(image, label, ("",) * planned.batch_size)


def trace(trainer: Learner, batch: Batch, *, block: int, all_at_once: bool | None = None) -> TrainingMemory:
    """Run the loop's own step on `batch` and count.

    What the first update would leave behind is made by a step of the optimiser alone, on gradients of zero: that takes
    a fraction of the time of an update. It would change weights that have values.

    `all_at_once` has the optimiser work on all weights together, which needs another number per weight for a moment.
    It does so by itself on CUDA, and has to be told on the meta device.
    """
    tracker = LiveTensors(block=block)
    between: list[int] = []
    with tracker, _watched(trainer, tracker, between):
        loop = bare_loop(trainer)  # what it makes for itself counts
        tracker.label(trainer.kept(), "parameters")
        for group in loop.optimiser.param_groups:
            group["foreach"] = all_at_once
        tracker.label((batch.image, batch.label), "activations")
        for parameter in trainer.network.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
                tracker.label([parameter.grad], "gradients")
        loop.optimiser.step()
        tracker.label(_state(loop.optimiser), "optimiser")
        loop.step(batch)
    found = {part: tracker.peak_parts.get(part, 0) for part in ("parameters", "gradients", "optimiser", "activations")}
    return TrainingMemory(peak=tracker.peak, after_forward=between[-1], **found)


@contextmanager
def _watched(trainer: Learner, tracker: LiveTensors, between: list[int]) -> Iterator[None]:
    """In the block, weights and gradients are counted as such, and `between` gets the bytes after every loss."""
    forward = trainer.loss

    def loss(batch: Batch, rng: torch.Generator) -> Loss:
        result = forward(batch, rng)
        between.append(tracker.current)
        return result

    def label_gradient(parameter: Tensor) -> None:
        tracker.label([] if parameter.grad is None else [parameter.grad], "gradients")

    tracker.label((*trainer.network.parameters(), *trainer.network.buffers()), "parameters")
    trained = [parameter for parameter in trainer.network.parameters() if parameter.requires_grad]
    hooks: list[Any] = [
        parameter.register_post_accumulate_grad_hook(label_gradient)  # type: ignore[no-untyped-call]  # torch's own
        for parameter in trained
    ]
    trainer.loss = loss  # type: ignore[method-assign]  # of this instance, to look at the moment between the passes
    try:
        yield
    finally:
        del trainer.loss
        for hook in hooks:
            hook.remove()


def bare_loop(trainer: Learner) -> Loop:
    """The training loop with nothing but its step: no data, no folder, no gradient scaler (it keeps a few numbers)."""
    from .loop import Loop

    record = RunRecord(
        dataset=trainer.plan.dataset,
        trainer=type(trainer).__name__,
        plan=trainer.plan.name,
        configuration=trainer.configuration_name,
        tag="",
        fold="0",
        seed=0,
        options=trainer.options.model_dump(mode="json"),
        plan_hash="",
        iterations=1000,
    )
    nothing: Any = None
    loop = Loop(trainer, record, Path(), nothing, nothing)
    loop.scaler = torch.amp.GradScaler("cpu", enabled=False)
    trainer.network.train()
    return loop


def _state(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [value for state in optimiser.state.values() for value in state.values() if isinstance(value, Tensor)]
