"""ProbabilityStore: probabilities of whole cases on the preprocessed grid, in memory or, if large, on disk."""

from __future__ import annotations

import math
import os
import platform
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

from autodiffseg.errors import UserError
from autodiffseg.inference.window_sum import Planes
from autodiffseg.preprocessing.case_store import CHUNK_BYTES, CODEC, LEVEL

ITEM_BYTES = 4
PREFIX = ".scratch-"


class StoreClosedError(Exception):
    """The work was given up while somebody still read."""


class StoredSteps:
    """Probabilities of every step of one case: `(S, K, Z, Y, X)` float32; its memory or file goes when it goes."""

    def __init__(self, store: ProbabilityStore, array: Any) -> None:
        """Hold a numpy array, or a blosc2 one, that is written plane by plane."""
        self._store = store
        self._array = array

    def __len__(self) -> int:
        """S."""
        return int(self._array.shape[0])

    def put(self, planes: Planes) -> None:
        """Write planes of all steps."""
        first, values = planes
        # What a window leaves of a batch is a view, which blosc2 does not take.
        self._array[:, :, first : first + values.shape[2]] = np.ascontiguousarray(values)

    def add(self, planes: Planes) -> None:
        """Add planes to what was put there."""
        first, values = planes
        self.put(Planes(first, self._array[:, :, first : first + values.shape[2]] + values))

    def step(self, number: int) -> StoredVolumes:
        """The channels of one step; -1 is the last."""
        return StoredVolumes(self, number % len(self))

    def read(self, step: int, channel: int) -> npt.NDArray[np.float32]:
        """One channel `(Z, Y, X)`.

        Raises:
            StoreClosedError: when the store has been closed; so whoever writes files from it ends soon.
        """
        if self._store.closed:
            raise StoreClosedError
        volume: npt.NDArray[np.float32] = self._array[step, channel]
        return volume

    @property
    def shape(self) -> tuple[int, ...]:
        """`(S, K, Z, Y, X)`"""
        return tuple(self._array.shape)


class StoredMean:
    """The mean over draws of one case, gathered while they are kept."""

    def __init__(self, store: ProbabilityStore, count: int) -> None:
        """Of `count` draws."""
        self._store = store
        self._count = count
        self._begun = 0
        self._steps: StoredSteps | None = None

    def add(self, planes: Planes, shape: Sequence[int]) -> None:
        """The next planes of a draw of a case of `shape` (z, y, x)."""
        share = Planes(planes.first, planes.values / np.float32(self._count))
        self._begun += planes.first == 0
        if self._begun > 1:
            self.steps.add(share)
            return
        if self._steps is None:
            self._steps = self._store.empty((*planes.values.shape[:2], *shape))
        self._steps.put(share)

    @property
    def steps(self) -> StoredSteps:
        """The mean, once all draws have been added."""
        assert self._steps is not None
        return self._steps


class StoredVolumes:
    """The channels of one step, `(K, Z, Y, X)`; each is read when it is asked for."""

    def __init__(self, steps: StoredSteps, number: int) -> None:
        """The channels of step `number`."""
        self._steps = steps
        self._number = number

    @property
    def shape(self) -> tuple[int, ...]:
        """`(K, Z, Y, X)`"""
        return self._steps.shape[1:]

    def __getitem__(self, channel: int, /) -> npt.NDArray[np.float32]:
        """One channel `(Z, Y, X)`; not to be changed."""
        return self._steps.read(self._number, channel)


class ProbabilityStore:
    """Where the predictor leaves what it found, for those who write files from it.

    What is larger than the limit is kept on disk, compressed, in a folder of its own that goes when the store is
    closed. An array goes when nobody holds it any more.
    """

    def __init__(self, folder: Path, limit_bytes: float = math.inf) -> None:
        """Make a store.

        Args:
            folder: in which large arrays get a hidden folder; on a disk, since a folder in memory would save nothing.
            limit_bytes: up to which an array is kept in memory.
        """
        self.closed = False
        self._folder = folder
        self._limit = limit_bytes
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> ProbabilityStore:
        """Itself; what killed processes have left in the folder goes first."""
        remove_abandoned(self._folder)
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Give no more channels, and remove all files."""
        self.closed = True
        if self._scratch is not None:
            self._scratch.cleanup()

    def keep(self, pieces: Iterable[Planes], shape: Sequence[int], mean: StoredMean | None = None) -> StoredSteps:
        """Keep the planes of a case as they come.

        Args:
            pieces: all planes, in order.
            shape: (z, y, x) of the case.
            mean: if given, they go into it too.

        Raises:
            UserError: when the disk is full.
        """
        kept: StoredSteps | None = None
        for planes in pieces:
            try:
                if kept is None:
                    kept = self.empty((*planes.values.shape[:2], *shape))
                kept.put(planes)
                if mean is not None:
                    mean.add(planes, shape)
            except (OSError, RuntimeError) as error:
                raise self._disk_error(error) from error
        assert kept is not None
        return kept

    def empty(self, shape: tuple[int, ...]) -> StoredSteps:
        """An array `(S, K, Z, Y, X)` to be written."""
        if math.prod(shape) * ITEM_BYTES <= self._limit:
            return StoredSteps(self, np.empty(shape, np.float32))
        planes = min(shape[2], max(1, CHUNK_BYTES // (ITEM_BYTES * shape[3] * shape[4])))
        settings = {"codec": CODEC, "clevel": LEVEL, "nthreads": 1}
        # A folder of chunks: one file would keep the room of every chunk that is written anew.
        path = Path(tempfile.mkdtemp(dir=self._scratch_folder())) / "probabilities.b2nd"
        array = blosc2.empty(
            shape,
            dtype=np.float32,
            chunks=(1, 1, planes, *shape[3:]),
            blocks=(1, 1, 1, *shape[3:]),
            urlpath=str(path),
            contiguous=False,
            cparams=settings,
            dparams={"nthreads": 1},
        )
        kept = StoredSteps(self, array)
        weakref.finalize(kept, shutil.rmtree, path.parent, ignore_errors=True)
        return kept

    def _scratch_folder(self) -> str:
        if self._scratch is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._scratch = tempfile.TemporaryDirectory(
                prefix=f"{PREFIX}{os.getpid()}-{platform.node()}-", dir=self._folder, ignore_cleanup_errors=True
            )
        return self._scratch.name

    def _disk_error(self, error: Exception) -> UserError:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return UserError(
            f"{self._folder} cannot take the probabilities that are too large for the memory ({reason}); free disk "
            "space, or raise --memory."
        )


def remove_abandoned(folder: Path) -> None:
    """Remove what processes of this machine left in `folder` that were killed before they could."""
    if os.name != "posix":  # elsewhere there is no harmless way to ask whether a process lives
        return
    for path in folder.glob(f"{PREFIX}*"):
        process, _, machine = path.name.removeprefix(PREFIX).partition("-")
        if process.isdecimal() and machine.startswith(f"{platform.node()}-") and not _lives(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
