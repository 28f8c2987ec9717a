"""Whether a JPEG or BMP file has its end, which SimpleITK does not ask: of a cut one it makes up the rest."""

from __future__ import annotations

from pathlib import Path

# Markers of JPEG (ITU-T T.81, B.1). Within a scan the byte FF is never followed by these, and the picture of a preview
# ends before the scan of the image begins.
_SCAN, _END = b"\xff\xda", b"\xff\xd9"


def is_whole_picture(path: Path) -> bool:
    """Whether nothing is missing at the end of a JPEG or BMP file; True for any other."""
    kind = path.suffix.lower()
    try:
        if kind in (".jpg", ".jpeg"):
            return _is_whole_jpeg(path.read_bytes())
        return kind != ".bmp" or _is_whole_bmp(path)
    except OSError:
        return False


def _is_whole_jpeg(content: bytes) -> bool:
    # No scan at all: the reader will refuse it with a better reason.
    return content.rfind(_SCAN) == -1 or content.rfind(_END) > content.rfind(_SCAN)


def _is_whole_bmp(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(54)
    if len(head) < 54 or int.from_bytes(head[30:34], "little"):  # compressed: its length cannot be told
        return True
    start, width, height, bits = (
        int.from_bytes(head[at : at + size], "little", signed=True) for at, size in ((10, 4), (18, 4), (22, 4), (28, 2))
    )
    row = (width * bits + 31) // 32 * 4  # bytes; rows begin at multiples of four
    return path.stat().st_size >= start + row * abs(height)  # a negative height: the rows go from top to bottom
