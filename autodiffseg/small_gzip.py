"""Reading small compressed NIfTI files: unpacked once, where SimpleITK would do it several times."""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from autodiffseg.nifti import HEADER_BYTES, parse_header

SMALL_BYTES = 2 * 1024 * 1024
"""Of the compressed file. A file of 50 kB is read in half the time; from some megabytes on the detour costs more."""

MEMORY_FOLDER = "/dev/shm"
"""Linux keeps what lies there in memory."""
ROOM = 16
"""So many times the size of a file must be free there: other processes write too, and containers give it 64 MB."""


def read_small_gzip(path: Path) -> Any:
    """The image of a small `.nii.gz` file, or None for any other and wherever something is wrong with it.

    SimpleITK opens a file more than twenty times and unpacks its beginning again and again (seen in its system calls,
    version 2.5). So the file is unpacked beside other temporary ones and read from there.
    """
    if not path.name.endswith(".nii.gz"):
        return None
    try:
        if path.stat().st_size > SMALL_BYTES:
            return None
        content = gzip.decompress(path.read_bytes())
        header = parse_header(content[:HEADER_BYTES])
        if header is None or len(content) < header.offset + header.voxel_bytes:
            return None  # cut off before it was packed, which SimpleITK does not notice
        # Readable by its owner alone.
        handle, unpacked = tempfile.mkstemp(prefix="autodiffseg-", suffix=".nii", dir=_folder_in_memory(len(content)))
        try:
            with open(handle, "wb") as file:
                file.write(content)
            return sitk.ReadImage(unpacked, imageIO="NiftiImageIO")
        finally:
            os.unlink(unpacked)
    except (OSError, EOFError, zlib.error, RuntimeError):
        return None  # SimpleITK says more of what is wrong with the file itself


def _folder_in_memory(size: int) -> str | None:
    """A folder that needs no disk, if there is one with plenty of room for `size` bytes; None is the usual folder."""
    if tempfile.tempdir is None and os.environ.get("TMPDIR") is None and os.access(MEMORY_FOLDER, os.W_OK):
        state = os.statvfs(MEMORY_FOLDER)
        if state.f_bavail * state.f_frsize > ROOM * size:
            return MEMORY_FOLDER
    return None
