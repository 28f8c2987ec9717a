"""What SimpleITK keeps quiet about MHA and NRRD files: a voxel size that is not there, for which it takes 1 mm.

Both begin with lines of text. Keys: MetaIO's documentation (ITK) and the NRRD format definition (teem).
"""

from __future__ import annotations

from pathlib import Path

HEAD = 2**16  # bytes in which the lines of any sensible file end
_KEYS = {".mha": (b"ElementSpacing", b"ElementSize"), ".nrrd": (b"spacings:", b"space directions:")}


def lacks_spacing(path: Path) -> bool:
    """Whether an MHA or NRRD file does not say how large its voxels are; False for every other format."""
    keys = _KEYS.get(path.suffix.lower())
    if keys is None:
        return False
    with path.open("rb") as file:
        lines = file.read(HEAD).split(b"\n")
    return not any(line.startswith(keys) for line in lines)
