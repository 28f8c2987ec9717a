"""The images that predict is given: found, paired into cases and refused together when some are bad."""

from __future__ import annotations

from math import isclose
from pathlib import Path

from autodiffseg.dataset import group_case_files, unnumbered_files
from autodiffseg.errors import UserError
from autodiffseg.geometry import SPACING_TOLERANCE, show_spacing
from autodiffseg.problems import SHOWN


def check_prediction_inputs(
    source: Path, ending: str, channels: int, *, unreadable: dict[str, str] | None = None
) -> dict[str, tuple[Path, ...]]:
    """The cases `CASE_0000.ext` of a folder; only headers are read.

    Args:
        source: where the images lie; or one file, for its case alone.
        ending: the file ending that the model was trained on, such as ".nii.gz".
        channels: the number of channels that the model wants.
        unreadable: if given, cases with a file that cannot be read are put here (case -> why) instead of being
            refused, so that the good ones can be predicted.

    Returns:
        Case -> files in channel order, sorted by case. A colour file may stand for several channels.

    Raises:
        UserError: when the folder is missing or has no case, or when files are misnamed, missing, unreadable or on
            different grids within a case; the text lists all of them, 30 at most.
    """
    folder = source.parent if source.is_file() else source
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist or is no folder; name the folder that holds the images.")
    cases = group_case_files(folder, ending)
    strangers = unnumbered_files(folder, ending)
    if source.is_file():
        cases = {case: paths for case, paths in cases.items() if source.name in [path.name for path in paths]}
        strangers = tuple(name for name in strangers if name == source.name)
    wrong = [f"{name}: its name has no channel number; call it CASE_0000{ending}" for name in strangers]
    if not cases and not wrong:
        raise UserError(f"{folder} holds no image called CASE_0000{ending}; the model was trained on {ending} files.")
    good = {}
    for case, paths in sorted(cases.items()):
        try:
            fault = _fault(case, paths, ending, channels)
        except UserError as error:
            fault = str(error).rstrip(".")
            if unreadable is not None:
                unreadable[case] = fault
                continue
        if fault:
            wrong.append(fault)
        else:
            good[case] = paths
    if wrong:
        lines = [f"{folder} has {len(wrong)} bad {'input' if len(wrong) == 1 else 'inputs'}; mend or remove:"]
        lines += [f"  {line}" for line in wrong[:SHOWN]]
        if len(wrong) > SHOWN:
            lines.append(f"  … and {len(wrong) - SHOWN} more")
        raise UserError("\n".join(lines))
    return good


def _fault(case: str, paths: tuple[Path, ...], ending: str, channels: int) -> str | None:
    """What is wrong with one case, or None.

    Raises:
        UserError: when a file cannot be read.
    """
    from autodiffseg.images import read_geometry, read_number_of_channels

    expected = tuple(f"{case}_{number:04d}{ending}" for number in range(len(paths)))
    missing = [name for name, path in zip(expected, paths, strict=True) if name != path.name]
    if missing:
        return f"{missing[0]} is missing"
    found = sum(read_number_of_channels(path) for path in paths)
    grids = [read_geometry(path) for path in paths]
    if found < channels and len(paths) == found:
        return f"{case}_{len(paths):04d}{ending} is missing: the model wants {channels} channels, the case has {found}"
    if found != channels:
        return f"{case} has {found} channels, the model wants {channels}"
    first = grids[0]
    for path, grid in zip(paths[1:], grids[1:], strict=True):
        if grid.shape != first.shape:
            return f"{path.name} has shape {grid.shape}, {paths[0].name} has {first.shape} (z, y, x)"
        steps = zip(grid.spacing, first.spacing, strict=True)
        if not all(isclose(own, its, rel_tol=SPACING_TOLERANCE) for own, its in steps):
            told = show_spacing(grid.spacing), show_spacing(first.spacing)
            return f"{path.name} has the spacing {told[0]}, {paths[0].name} has {told[1]} mm (z, y, x)"
    return None
