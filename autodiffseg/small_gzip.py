"""Reading small compressed NIfTI files: unpacked once, where SimpleITK would do it several times."""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

import SimpleITK as sitk

SMALL_BYTES = 2 * 1024 * 1024
"""Of the compressed file. A file of 50 kB is read in half the time; from some megabytes on the detour costs more."""


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
        handle, unpacked = tempfile.mkstemp(prefix="autodiffseg-", suffix=".nii")  # readable by its owner alone
        try:
            with open(handle, "wb") as file:
                file.write(content)
            return sitk.ReadImage(unpacked, imageIO="NiftiImageIO")
        finally:
            os.unlink(unpacked)
    except (OSError, EOFError, zlib.error, RuntimeError):
        return None  # SimpleITK says more of what is wrong with the file itself
