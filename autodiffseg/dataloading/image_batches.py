"""Batches of images without labels, by number; what becomes of them is light: a denoiser must learn real images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from autodiffseg.dataloading.batches import BatchSource
from autodiffseg.dataloading.light_augmentation import LightAugmentation
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import ConfigurationPlan
from autodiffseg.preprocessing.image_store import ImageStore

NO_CLASSES = LabelSpec(labels={"background": 0})

SMALL_BYTES = 2**20
"""An unpacked image up to this size is kept in memory."""
KEPT_BYTES = 2**26
"""Of all that are kept, by each process that makes batches."""


class ImageBatchSource(BatchSource):
    """Makes the batches of a pretraining: patches from anywhere in the images, each image equally likely.

    The label of a batch is 0 where there is image and UNKNOWN where a patch reaches beyond it.
    """

    def __init__(
        self,
        store: ImageStore,
        images: Sequence[str],
        configuration: ConfigurationPlan,
        *,
        seed: int,
        strength: float = 1.0,
    ) -> None:
        """Draw from `images` of `store`.

        Args:
            store: the preprocessed images.
            images: ids.
            configuration: patch and batch size, mirror axes, channels that are masked.
            seed: whole number >= 0.
            strength: of the augmentation, see `LightAugmentation`; 0 gives the patches as they are.

        Raises:
            UserError: when there are no images.
        """
        super().__init__(_Unlabelled(store), images, configuration, NO_CLASSES, seed=seed, augment=strength > 0)
        self._augmentation = LightAugmentation(configuration, strength)


class _Unlabelled:
    """The images of a store with a label map of nothing, which takes no memory.

    Small images are kept: opening and unpacking a file takes as long as everything else that is done to a patch of 64 x
    64 pixels.
    """

    def __init__(self, store: ImageStore) -> None:
        self.store = store
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._kept: dict[str, npt.NDArray[np.float32]] = {}
        self._room = KEPT_BYTES

    def image(self, case: str) -> Any:
        """`(C, Z, Y, X)`, read as it is indexed."""
        if case in self._kept:
            return self._kept[case]
        array = self.store.image(case)
        self._shapes[case] = array.shape[1:]
        size = math.prod(array.shape) * array.dtype.itemsize
        if size <= min(SMALL_BYTES, self._room):
            self._kept[case] = array = array[:]
            self._room -= size
        return array

    def label(self, case: str) -> npt.NDArray[np.int16]:
        """`(1, Z, Y, X)` zeros."""
        if case not in self._shapes:
            self.image(case)
        return np.broadcast_to(np.int16(0), (1, *self._shapes[case]))

    def locations(self, _: str) -> dict[int, npt.NDArray[np.int32]]:
        """No foreground."""
        return {}
