"""What SimpleITK keeps quiet about MHA and NRRD files: a voxel size that is not there, and damaged compressed voxels.

For the one it takes 1 mm, of the other it hands over what comes out (seen with 2.5). Both formats begin with lines of
text. Keys: MetaIO's documentation (ITK) and the NRRD format definition (teem).
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

HEAD = 2**16  # bytes in which the lines of any sensible file end
BLOCK = 2**24  # bytes looked at in one go
_SPACING = {".mha": (b"ElementSpacing", b"ElementSize"), ".nrrd": (b"spacings:", b"space directions:")}
# Where the voxels begin, what says that they are compressed, and how zlib is told which checksum ends them.
_END = {".mha": rb"ElementDataFile\s*=\s*LOCAL\r?\n", ".nrrd": rb"\n\r?\n"}
_COMPRESSED = {".mha": rb"(?m)^CompressedData\s*=\s*True", ".nrrd": rb"(?m)^encoding:\s*gz"}
_WINDOW = {".mha": zlib.MAX_WBITS, ".nrrd": zlib.MAX_WBITS + 16}  # Adler-32 of zlib, CRC-32 of gzip


def lacks_spacing(path: Path) -> bool:
    """Whether an MHA or NRRD file does not say how large its voxels are; False for every other format."""
    keys = _SPACING.get(path.suffix.lower())
    if keys is None:
        return False
    with path.open("rb") as file:
        lines = file.read(HEAD).split(b"\n")
    return not any(line.startswith(keys) for line in lines)


def require_undamaged(path: Path) -> None:
    """Unpack the compressed voxels of an MHA or NRRD file to their checksum; nothing to do for every other file.

    Raises:
        OSError, EOFError, zlib.error: when the file is damaged.
    """
    kind = path.suffix.lower()
    if kind not in _END:
        return
    with path.open("rb") as file:
        head = file.read(HEAD)
        end = re.search(_END[kind], head)
        lines = head[: end.end()] if end is not None else b""
        if (
            end is None or not re.search(_COMPRESSED[kind], lines) or b" skip:" in lines
        ):  # NRRD may skip what is no voxel
            return
        file.seek(end.end())
        unpacker = zlib.decompressobj(_WINDOW[kind])
        while not unpacker.eof and (block := file.read(BLOCK)):
            while block:
                unpacker.decompress(block, BLOCK)
                block = unpacker.unconsumed_tail
    if not unpacker.eof:
        raise EOFError("its voxels end too early")
