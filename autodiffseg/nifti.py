"""What SimpleITK keeps quiet about NIfTI files: cut-off and damaged files, NaN and impossible voxel sizes.

Its reader takes such a file without complaint, turns NaN and infinity into 0, and voxel sizes of 0 or NaN into
1 mm (seen with SimpleITK 2.5). So the bytes are looked at here. Layout: nifti1.h and nifti2.h (NITRC).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

ENDINGS = (".nii.gz", ".nii")
BLOCK = 2**24  # bytes looked at in one go
HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 has 348
_FLOATS = {16: "f4", 64: "f8"}  # NIfTI data type codes


class NiftiHeader(NamedTuple):
    """The part of a header that is needed here."""

    order: str
    """ "<" or ">": the byte order."""
    type_code: int
    offset: int
    """Bytes before the voxels."""
    voxel_bytes: int
    """Bytes that all voxels take."""
    spacing: tuple[float, ...]
    """mm along (x, y, z) as the file says; 2 numbers in a 2D file."""


def is_whole(path: Path) -> bool:
    """Whether a file holds all voxels that its header announces; True for what is no NIfTI file."""
    if not path.name.endswith(ENDINGS):
        return True
    try:
        header = _read_header(path)
        if header is None:
            return True  # the reader will refuse it with a better reason
        wanted = header.offset + header.voxel_bytes
        if not _is_compressed(path):
            return path.stat().st_size >= wanted
        with path.open("rb") as file:
            file.seek(-4, 2)
            # A gzip file ends with its unpacked size modulo 2^32; a cut one ends with anything.
            if struct.unpack("<I", file.read())[0] == wanted % 2**32:
                return True
        with _open(path) as unpacked:
            while wanted > 0 and (block := unpacked.read(min(BLOCK, wanted))):
                wanted -= len(block)
        return wanted == 0
    except (OSError, EOFError, zlib.error):
        return False


def count_nonfinite(path: Path) -> int:
    """Voxels of a NIfTI file that are NaN or infinite; 0 for what is no NIfTI file.

    A compressed file is read to the checksum at its end, whatever its voxels: of a damaged one SimpleITK hands over
    what it unpacks to, noise from the damage on, without complaint (seen with 2.5).

    Raises:
        OSError, EOFError, zlib.error: when the file is damaged.
    """
    header = _read_header(path) if path.name.endswith(ENDINGS) else None
    if header is None:
        return 0
    count = 0
    with _open(path) as file:
        file.seek(header.offset)
        if header.type_code in _FLOATS:
            count = _nonfinite(file, header.voxel_bytes, np.dtype(header.order + _FLOATS[header.type_code]))
        if _is_compressed(path):
            while file.read(BLOCK):
                pass
    return count


def _nonfinite(file: BinaryIO, size: int, kind: np.dtype[Any]) -> int:
    count = 0
    while size > 0 and (block := file.read(min(BLOCK, size))):
        size -= len(block)
        voxels = np.frombuffer(block[: len(block) // kind.itemsize * kind.itemsize], kind)
        count += int(voxels.size - np.count_nonzero(np.isfinite(voxels)))
    return count


def written_spacing(path: Path) -> tuple[float, ...] | None:
    """The voxel size that stands in a NIfTI file, (x, y, z) or (x, y) in mm; None for what is no NIfTI file."""
    header = _read_header(path) if path.name.endswith(ENDINGS) else None
    return header.spacing if header is not None else None


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if _is_compressed(path) else path.open("rb")


def _read_header(path: Path) -> NiftiHeader | None:
    with _open(path) as file:
        return parse_header(file.read(HEADER_BYTES))


def parse_header(head: bytes) -> NiftiHeader | None:
    """The header in the first `HEADER_BYTES` of an unpacked NIfTI file; None where there is none."""
    for order in "<>":
        size = struct.unpack_from(order + "i", head)[0] if len(head) >= 348 else 0
        if size == 348:
            dimensions = struct.unpack_from(order + "8h", head, 40)
            type_code, bits = struct.unpack_from(order + "2h", head, 70)
            steps = struct.unpack_from(order + "8f", head, 76)
            offset = int(struct.unpack_from(order + "f", head, 108)[0])
        elif size == 540 and len(head) == 540:
            type_code, bits = struct.unpack_from(order + "2h", head, 12)
            dimensions = struct.unpack_from(order + "8q", head, 16)
            steps = struct.unpack_from(order + "8d", head, 104)
            offset = struct.unpack_from(order + "q", head, 168)[0]
        else:
            continue
        axes = dimensions[0]
        if not 1 <= axes <= 7:
            return None
        voxels = 1
        for length in dimensions[1 : axes + 1]:
            voxels *= max(length, 1)
        return NiftiHeader(order, type_code, offset, voxels * bits // 8, steps[1 : min(axes, 3) + 1])
    return None
