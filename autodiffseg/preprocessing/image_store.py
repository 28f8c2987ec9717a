"""ImageStore: preprocessed images without labels in one folder, each written whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from autodiffseg.preprocessing.case_store import CaseStore, open_array, storage_shapes, write_array
from autodiffseg.preprocessing.image_sketch import sketch
from autodiffseg.records import Record


class ImageProperties(Record):
    """What is known of a preprocessed image."""

    image: str
    """Its id: the name of the file and a hash of what is in it."""
    digest: str
    """Of the preprocessed array; the same for the same image in another file format or under another name."""
    shape: tuple[int, int, int]
    """Of the preprocessed grid, transposed, voxels."""
    spacing: tuple[float, float, float]
    """Of the preprocessed grid, transposed, mm."""
    sketch: str
    """By which a copy of another size is known, see `image_sketch`."""

    @classmethod
    def of(cls, image: str, array: npt.NDArray[np.float32], spacing: tuple[float, float, float]) -> Self:
        """The record of a preprocessed image `(C, Z, Y, X)`."""
        _, z, y, x = array.shape
        return cls(image=image, digest=array_digest(array), shape=(z, y, x), spacing=spacing, sketch=sketch(array))


class ImageStore:
    """Images in one folder, `ID.image.b2nd` and `ID.json`, and on request those of labelled cases beside them.

    An id follows from what is in the raw files, so an image that has changed has another.
    """

    def __init__(self, folder: Path, *, labelled: CaseStore | None = None, cases: Iterable[str] = ()) -> None:
        """Use `folder`, which need not exist yet; `cases` of the store `labelled` are images of this one too."""
        self.folder = folder
        self.labelled = labelled
        self.cases = frozenset(cases)

    def has(self, image: str) -> bool:
        """Whether the folder has the image, complete."""
        return self._path(image, "json").is_file()

    def write(self, properties: ImageProperties, array: npt.NDArray[np.float32] | None, *, dimensions: int = 3) -> None:
        """Write one image. The JSON is moved in last: without it the image does not exist.

        Args:
            properties: say its id.
            array: `(C, Z, Y, X)`; None keeps the properties alone.
            dimensions: 2 lays the blocks in slices, for a 2D configuration.
        """
        if array is not None:
            chunks, blocks = storage_shapes(array.shape, array.itemsize, dimensions)
            write_array(self._path(properties.image, "image.b2nd"), array, chunks, blocks)
        properties.save(self._path(properties.image, "json"))

    def properties(self, image: str) -> ImageProperties:
        """The record of an image of the folder.

        Raises:
            UserError: when the image is not there.
        """
        return ImageProperties.load(self._path(image, "json"))

    def image(self, image: str) -> Any:
        """The blosc2 array `(C, Z, Y, X)` float32; indexing reads and decompresses only what is asked for.

        Raises:
            UserError: when the file is missing or damaged.
        """
        if self.labelled is not None and image in self.cases:
            return self.labelled.image(image)
        return open_array(self._path(image, "image.b2nd"), cure="remove the image's .json and start again")

    def beside(self, name: str) -> Path:
        """A file or folder next to that of the images."""
        return self.folder.with_name(name)

    def _path(self, image: str, ending: str) -> Path:
        return self.folder / f"{image}.{ending}"


def array_digest(array: npt.NDArray[np.float32]) -> str:
    """Of a preprocessed image `(C, Z, Y, X)`: 128 bits of BLAKE2b over its shape and voxels, in hexadecimal."""
    voxels = np.ascontiguousarray(array, dtype="<f4")
    digest = hashlib.blake2b(repr(voxels.shape).encode(), digest_size=16)
    digest.update(voxels.data)
    return digest.hexdigest()
