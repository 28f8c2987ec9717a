"""CaseStore: a folder of preprocessed cases, written whole or not at all and read patch by patch."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import blosc2
import numpy as np
import numpy.typing as npt

from autodiffseg.atomic import atomic_path
from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.records import Record

# A patch read decompresses every block it touches, so blocks are small (level-2 cache) and cubic.
BLOCK_BYTES = 128 * 1024
CHUNK_BYTES = 4 * 1024 * 1024
# On z-scored MR and CT images level 5 makes files 2 % smaller and takes five times as long; nnU-Net's LZ4HC at level 5
# takes seven times as long. Reading is as fast at any level.
CODEC = blosc2.Codec.ZSTD
LEVEL = 1
# An array up to this size is compressed in memory and written in one go: a third of the time of a growing file.
SMALL_BYTES = 16777216


class CaseProperties(Record):
    """What else is known of a preprocessed case: enough to bring a prediction back onto the raw grid."""

    case: str
    geometry: Geometry
    """Of the raw image, raw axis order."""
    crop: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    """Half-open box in transposed raw voxels."""
    spacing_before: tuple[float, float, float]
    """Of the raw image, transposed, mm."""
    spacing: tuple[float, float, float]
    """Of the preprocessed grid, transposed, mm."""
    shape: tuple[int, int, int]
    """Of the preprocessed grid."""
    class_voxels: dict[str, int]
    """Foreground class or region -> voxels on the preprocessed grid."""
    cut_voxels: int = 0
    """Labelled raw voxels outside `crop`, where every channel is zero: they are cut away."""
    cut_share: float = 0.0
    """`cut_voxels` as a fraction of all labelled voxels of the case."""


class PreprocessedCase(NamedTuple):
    """One case on the grid and in the intensities of a configuration, axes transposed."""

    image: npt.NDArray[np.float32]
    """`(C, Z, Y, X)`"""
    label: npt.NDArray[np.int16] | None
    """`(A, Z, Y, X)`: the reference, then each annotator's; None for prediction."""
    properties: CaseProperties
    locations: dict[int, npt.NDArray[np.int32]]
    """Index of a foreground class -> `(n, 3)` voxels of it."""


class CaseStore:
    """Preprocessed training cases in one folder: `CASE.image.b2nd`, `.label.b2nd`, `.locations.b2nd`, `.json`."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`; it need not exist yet."""
        self.folder = folder

    def cases(self) -> tuple[str, ...]:
        """Ids of the complete cases, sorted."""
        if not self.folder.is_dir():
            return ()
        return tuple(sorted(path.stem for path in self.folder.glob("*.json") if not path.name.startswith(".")))

    def has(self, case: str) -> bool:
        """Whether the case is there and complete."""
        return self._path(case, "json").is_file()

    def write(self, case: PreprocessedCase, *, dimensions: int = 3) -> None:
        """Write one labelled case. The JSON is moved in last: without it the case does not exist.

        Args:
            case: with label.
            dimensions: 2 lays the blocks in slices, for a 2D configuration.
        """
        if case.label is None:
            raise ValueError(f"case {case.properties.case} has no label; only training cases are stored")
        name = case.properties.case
        self._path(name, "json").unlink(missing_ok=True)
        for ending, array in (("image.b2nd", case.image), ("label.b2nd", case.label)):
            chunks, blocks = storage_shapes(array.shape, array.itemsize, dimensions)
            write_array(self._path(name, ending), array, chunks, blocks)
        rows = [np.insert(voxels, 0, index, axis=1) for index, voxels in sorted(case.locations.items())]
        table = np.concatenate([np.zeros((0, 4), np.int32), *rows]).astype(np.int32)  # (n, 4): class, z, y, x
        write_array(self._path(name, "locations.b2nd"), table, None, None)
        case.properties.save(self._path(name, "json"))

    def properties(self, case: str) -> CaseProperties:
        """The record of a case.

        Raises:
            UserError: when the case is not there.
        """
        return CaseProperties.load(self._path(case, "json"))

    def image_file(self, case: str) -> Path:
        """Where the image of a case lies."""
        return self._path(case, "image.b2nd")

    def image(self, case: str) -> blosc2.NDArray:
        """The image `(C, Z, Y, X)` float32; indexing reads and decompresses only what is asked for.

        Raises:
            UserError: when the file is missing or damaged.
        """
        return open_array(self.image_file(case))

    def label(self, case: str) -> blosc2.NDArray:
        """The label `(A, Z, Y, X)` int16 with OUTSIDE around the body; indexing reads what is asked for.

        Raises:
            UserError: when the file is missing or damaged.
        """
        return open_array(self._path(case, "label.b2nd"))

    def locations(self, case: str) -> dict[int, npt.NDArray[np.int32]]:
        """Index in the order of `LabelSpec.foreground` -> `(n, 3)` int32 voxels; absent classes may be missing.

        Raises:
            UserError: when the file is missing or damaged.
        """
        table = open_array(self._path(case, "locations.b2nd"))[:]
        names = self.properties(case).class_voxels
        ends = np.searchsorted(table[:, 0], np.arange(len(names) + 1))
        return {
            index: np.ascontiguousarray(table[start:stop, 1:]) for index, (start, stop) in enumerate(pairwise(ends))
        }

    def _path(self, case: str, ending: str) -> Path:
        return self.folder / f"{case}.{ending}"


def storage_shapes(shape: tuple[int, ...], itemsize: int, dimensions: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunk and block shapes of an array `(C, Z, Y, X)`.

    A patch read decompresses every block it touches, so blocks are near cubes; for 2D they are one slice thick. Chunks
    hold many blocks, since each costs a seek and an entry in the index; channels are kept apart.
    """
    fixed = 1 if dimensions == 3 else 2  # leading axes along which a block is one voxel thick
    blocks = [1] * fixed + list(shape[fixed:])
    while np.prod(blocks) * itemsize > BLOCK_BYTES:
        longest = int(np.argmax(blocks))
        blocks[longest] = -(-blocks[longest] // 2)
    chunks = list(blocks)
    while True:
        # Growing the axis that is covered least keeps chunks in the array's proportions.
        growable = [axis for axis in range(1, len(shape)) if chunks[axis] < shape[axis]]
        if not growable or 2 * np.prod(chunks) * itemsize > CHUNK_BYTES:
            return tuple(chunks), tuple(blocks)
        axis = min(growable, key=lambda axis: chunks[axis] / shape[axis])
        chunks[axis] = min(2 * chunks[axis], shape[axis])


def write_array(
    path: Path, array: npt.NDArray[Any], chunks: tuple[int, ...] | None, blocks: tuple[int, ...] | None
) -> None:
    """Write a blosc2 file atomically; chunk and block shapes as `storage_shapes` gives them, or None for blosc2's."""
    array = np.ascontiguousarray(array)
    settings = {"chunks": chunks, "blocks": blocks, "cparams": {"codec": CODEC, "clevel": LEVEL, "nthreads": 1}}
    with atomic_path(path) as temporary:
        if array.nbytes <= SMALL_BYTES:
            temporary.write_bytes(blosc2.asarray(array, **settings).to_cframe())
        else:
            blosc2.asarray(array, **settings, urlpath=str(temporary), mode="w")


def open_array(path: Path, *, cure: str = "remove the case's .json and preprocess again") -> Any:
    """The blosc2 array of a file; indexing reads and decompresses only what is asked for.

    Raises:
        UserError: when the file is missing or damaged; `cure` says what to do about it.
    """
    # Windows cannot replace or remove a file that is mapped into memory.
    mode = None if sys.platform == "win32" else "r"
    if not path.is_file():
        raise UserError(f"{path} does not exist; {cure}.")
    try:
        return blosc2.open(str(path), mode="r", mmap_mode=mode, dparams={"nthreads": 1})
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); {cure}.") from error
