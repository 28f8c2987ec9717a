"""Batches by number: batch n is a pure function of (seed, n), whoever makes it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autodiffseg.dataloading import patch_sampling
from autodiffseg.dataloading.augmentation import Augmentation
from autodiffseg.dataloading.seeding import seeded_libraries
from autodiffseg.dataloading.segmentation_corruption import corrupt_segmentation
from autodiffseg.dataloading.workers import results_in_order
from autodiffseg.errors import UserError
from autodiffseg.labels import UNKNOWN, LabelSpec
from autodiffseg.plans import ConfigurationPlan

if TYPE_CHECKING:
    from autodiffseg.preprocessing.previous_stage import PreviousStageStore


class Batch(NamedTuple):
    """Augmented patches, ready for a trainer."""

    image: Tensor
    """`(B, C, *patch)` float32; a cascade's last channels are the previous stage's segmentation."""
    label: Tensor
    """`(B, *patch)` int16: the dataset's integers, UNKNOWN where padded; no OUTSIDE."""
    cases: tuple[str, ...]
    """The case of each sample."""


class LabelledImages(Protocol):
    """Where patches are read from: a `CaseStore`, or what behaves like one."""

    def image(self, case: str) -> Any:
        """`(C, Z, Y, X)` float32, read as it is indexed."""
        ...

    def label(self, case: str) -> Any:
        """`(A, Z, Y, X)` int16, the reference first."""
        ...

    def locations(self, case: str) -> dict[int, npt.NDArray[np.int32]]:
        """Index of a foreground class -> `(n, 3)` voxels of it."""
        ...


class BatchSource:
    """Makes the batches of one training, by number."""

    def __init__(
        self,
        store: LabelledImages,
        cases: Sequence[str],
        configuration: ConfigurationPlan,
        spec: LabelSpec,
        *,
        seed: int,
        augment: bool = True,
        previous: PreviousStageStore | None = None,
    ) -> None:
        """Draw from `cases` of `store`.

        Args:
            store: the preprocessed cases of the configuration.
            cases: ids; each is equally likely, whatever its size.
            configuration: patch and batch size, mirror axes, channels that are masked.
            spec: the labels; its foreground classes are oversampled.
            seed: whole number >= 0.
            augment: False gives the patches as they are, for watching the loss on validation cases.
            previous: what a cascade is shown of its previous stage.

        Raises:
            UserError: when there are no cases.
        """
        if (previous is None) != (configuration.previous_stage is None):
            raise ValueError(
                "a cascade needs the segmentations of its previous stage, any other configuration has none"
            )
        if not cases:
            raise UserError("There are no cases to draw batches from; check the fold.")
        self.store = store
        self.cases = tuple(cases)
        self.configuration = configuration
        self.spec = spec
        self.seed = seed
        self.augment = augment
        self.previous = previous
        self._augmentation = Augmentation(configuration)

    def batch(self, n: int) -> Batch:
        """Batch number `n` (>= 0): the same bytes whenever, wherever and after whatever it is made.

        Raises:
            UserError: when a case cannot be read; the message names it.
        """
        rng = np.random.default_rng([self.seed, n])
        images, labels, names = [], [], []
        with seeded_libraries(self.seed, n):
            for forced in patch_sampling.forced_foreground(self.configuration.batch_size, rng):
                case = self.cases[rng.integers(len(self.cases))]
                try:
                    image, label = self._sample(case, forced, rng)
                except Exception as error:
                    error.add_note(f"while making a patch of case {case} for batch {n}")
                    raise
                images.append(image)
                labels.append(label[0])
                names.append(case)
            return Batch(torch.stack(images), torch.stack(labels), tuple(names))

    def _sample(self, case: str, forced: bool, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One augmented sample: image `(C, *patch)` and label `(1, *patch)`."""
        patch_size = self.configuration.patch_size
        with _naming(case):
            stored = self.store.image(case)
            locations = self.store.locations(case) if forced else {}
        foreground = [locations.get(index, _NOWHERE) for index in range(len(self.spec.foreground))]
        box = patch_sampling.draw_box(
            stored.shape[1:], patch_size, patch_sampling.draw_voxel(foreground, rng) if forced else None, rng
        )
        change = self._augmentation.draw_spatial(rng) if self.augment else None
        box = patch_sampling.widen(box, self._augmentation.margin(change))
        with _naming(case):
            image = torch.from_numpy(patch_sampling.read_box(stored, box, padding=0))
            # Of several label maps the first is the reference.
            label = torch.from_numpy(patch_sampling.read_box(self.store.label(case), box, padding=UNKNOWN)[:1])
            if self.previous is not None:
                # Turned, scaled and mirrored as a label is; it becomes channels only where that is over.
                shown = patch_sampling.read_box(self.previous.segmentation(case), box, padding=UNKNOWN)
                label = torch.cat([label, torch.from_numpy(shown)])  # (2, Z, Y, X)
        if len(patch_size) == 2:
            image, label = image[:, 0], label[:, 0]  # (C, Y, X), (1, Y, X)
        if self.augment:
            image, label = self._augmentation(image, label, change)
        else:
            image, label = self._augmentation.finish(image, label)
        if self.previous is not None:
            segmentation = corrupt_segmentation(label[1]) if self.augment else label[1]
            image = torch.cat([image, self.spec.foreground_channels(segmentation)])  # (C + F, *patch)
        return image, label[:1]


@contextmanager
def batch_stream(source: BatchSource, *, start: int, stop: int, workers: int) -> Iterator[Iterator[Batch]]:
    """Batches `start` to `stop - 1` in order, the same for any number of workers; 0 makes them in this process.

    Leaving the block ends the workers, whatever the reason; more in `autodiffseg.dataloading.workers`.

    Raises:
        UserError: from the iterator, when a case cannot be read; from anywhere in the block, when a worker was killed.
    """
    workers = min(workers, stop - start)
    if workers <= 0:
        yield (source.batch(n) for n in range(start, stop))
        return
    with results_in_order(_Arrays(source), start=start, stop=stop, workers=workers) as received:
        yield (Batch(torch.from_numpy(image), torch.from_numpy(label), cases) for image, label, cases in received)


def default_workers(device_type: str) -> int:
    """Worker processes for a training on `device_type` ("cpu", "cuda", "mps").

    On a CPU the cores belong to the training: at most two workers, and only on cores beyond the first two. Beside a
    GPU every core may load, up to 12, as in nnU-Net.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2, max(0, cores - 2)) if device_type == "cpu" else min(cores, 12)


class _Arrays:
    """Batch n of a source as numpy arrays, which is how it leaves a worker."""

    def __init__(self, source: BatchSource) -> None:
        self.source = source

    def __call__(self, n: int, /) -> tuple[npt.NDArray[Any], npt.NDArray[Any], tuple[str, ...]]:
        batch = self.source.batch(n)
        return batch.image.numpy(), batch.label.numpy(), batch.cases


_NOWHERE = np.zeros((0, 3), dtype=np.int32)


@contextmanager
def _naming(case: str) -> Iterator[None]:
    """Turn what goes wrong while reading into a UserError that names the case."""
    try:
        yield
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise UserError(
            f"Preprocessed case {case} cannot be read ({error}); remove its .json and preprocess again."
        ) from error
