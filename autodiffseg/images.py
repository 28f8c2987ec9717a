"""Reading and writing images through SimpleITK: the one place where its axis order is turned round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from autodiffseg.atomic import atomic_path
from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.nifti import is_whole
from autodiffseg.picture_files import is_whole_picture
from autodiffseg.small_gzip import read_small_gzip


def read_image(path: Path) -> tuple[npt.NDArray[Any], Geometry]:
    """Read one file.

    Returns:
        `(C, Z, Y, X)` in the file's own number type, C = 1 or the colour components; and where the grid lies.

    Raises:
        UserError: when the file is missing, unreadable or neither 2D nor 3D.
    """
    image = _read(path)
    geometry = _make_geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection(), path)
    array = sitk.GetArrayFromImage(image)
    components = image.GetNumberOfComponentsPerPixel()
    array = array[None] if components == 1 else np.moveaxis(array, -1, 0)  # (C, Y, X) or (C, Z, Y, X)
    if _is_grey_bmp(path):
        array = array[:1]
    if image.GetDimension() == 2:
        array = array[:, None]  # (C, 1, Y, X)
    return array, geometry


def read_geometry(path: Path) -> Geometry:
    """Where a file's grid lies, without reading its voxels.

    Raises:
        UserError: when the header cannot be read.
    """
    reader = _read_header(path)
    return _make_geometry(reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection(), path)


def read_number_of_channels(path: Path) -> int:
    """The colour components of a file (1 for most), without reading its voxels.

    Raises:
        UserError: when the header cannot be read.
    """
    return 1 if _is_grey_bmp(path) else int(_read_header(path).GetNumberOfComponents())


def read_case(paths: Sequence[Path]) -> tuple[npt.NDArray[np.float32], Geometry]:
    """Read the channels of a case as `(C, Z, Y, X)` float32 on the grid of the first file.

    Raises:
        UserError: when a file is unreadable or the channels differ in shape.
    """
    arrays, geometries = zip(*(read_image(path) for path in paths), strict=True)
    for path, geometry in zip(paths[1:], geometries[1:], strict=True):
        if geometry.shape != geometries[0].shape:
            raise UserError(f"{path} has shape {geometry.shape}, {paths[0].name} has {geometries[0].shape} (z, y, x).")
    return np.concatenate([array.astype(np.float32, copy=False) for array in arrays]), geometries[0]


def read_label(path: Path) -> tuple[npt.NDArray[np.int16], Geometry]:
    """Read a label map as `(Z, Y, X)` int16; whole numbers stored as floats are accepted.

    Raises:
        UserError: when the file is unreadable, has several components, or numbers that are not whole or not 16 bit.
    """
    array, geometry = read_image(path)
    if array.shape[0] != 1:
        raise UserError(
            f"{path} has {array.shape[0]} components; a label map has one (convert colours to class numbers)."
        )
    label = array[0]
    whole = np.issubdtype(label.dtype, np.integer)
    if not whole and (not np.all(np.isfinite(label)) or np.any(label != np.rint(label))):
        raise UserError(f"{path} holds numbers that are not whole; a label map holds class numbers.")
    limits = np.iinfo(np.int16)
    for extreme in (label.max(), label.min()) if label.size else ():
        if not limits.min <= extreme <= limits.max:  # the cast below would wrap it into another class
            raise UserError(f"{path} holds the label {int(extreme)}; class numbers up to {limits.max} are possible.")
    return label.astype(np.int16), geometry


def write_image(path: Path, array: npt.NDArray[Any], geometry: Geometry) -> None:
    """Write `(Z, Y, X)` onto a grid, atomically; the ending of `path` chooses the format.

    Raises:
        UserError: when the folder cannot be written to.
    """
    if array.shape != geometry.shape:
        raise ValueError(f"array {array.shape} does not lie on a grid of {geometry.shape}")
    image = sitk.GetImageFromArray(array if geometry.dimensions == 3 else array[0])
    spacing = geometry.spacing[::-1]
    image.SetSpacing(spacing[: geometry.dimensions])
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    _write(path, image)


def write_picture(path: Path, colours: npt.NDArray[np.uint8]) -> None:
    """Write red, green and blue `(Y, X, 3)`, atomically; the ending of `path` chooses the format.

    Raises:
        UserError: when the folder cannot be written to.
    """
    _write(path, sitk.GetImageFromArray(colours, isVector=True))


def _write(path: Path, image: Any) -> None:
    try:
        with atomic_path(path) as temporary:
            sitk.WriteImage(image, str(temporary), useCompression=True)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path} cannot be written: {_reason(error)}") from error


def _read_header(path: Path) -> Any:
    _require_whole(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise UserError(f"{path} cannot be read as an image: {_reason(error)}") from error
    return reader


def _read(path: Path) -> Any:
    if (image := read_small_gzip(path)) is not None:
        return image
    _require_whole(path)
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise UserError(f"{path} cannot be read as an image: {_reason(error)}") from error


def _require_whole(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path} does not exist.")
    if not (is_whole(path) and is_whole_picture(path)):
        raise UserError(f"{path} cannot be read as an image: it is cut off or damaged; copy it again.")


def _is_grey_bmp(path: Path) -> bool:
    """Whether a file is a BMP with a palette of greys, which SimpleITK reads as three equal colours."""
    if path.suffix.lower() != ".bmp" or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(54)
        if len(head) < 54 or int.from_bytes(head[28:30], "little") != 8:  # bits per pixel
            return False
        file.seek(14 + int.from_bytes(head[14:18], "little"))  # the palette follows the two headers
        palette = file.read(4 * (int.from_bytes(head[46:50], "little") or 256))  # blue, green, red, 0
    return palette[0::4] == palette[1::4] == palette[2::4]


def _make_geometry(
    size: Sequence[int],
    spacing: Sequence[float],
    origin: Sequence[float],
    direction: Sequence[float],
    path: Path,
) -> Geometry:
    if len(size) not in (2, 3):
        raise UserError(f"{path} has {len(size)} axes; 2 and 3 are possible (split a series into channels).")
    x, y, z = (*size, 1)[:3]
    dx, dy, dz = (*spacing, 1.0)[:3]
    return Geometry(shape=(z, y, x), spacing=(dz, dy, dx), origin=tuple(origin), direction=tuple(direction))


def _reason(error: Exception) -> str:
    """The last line of SimpleITK's long messages: it is the one that tells."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
