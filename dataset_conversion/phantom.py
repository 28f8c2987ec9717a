"""The command `phantom`: a made-up dataset that a threshold does not solve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autodiffseg.errors import UserError

if TYPE_CHECKING:
    from autodiffseg.geometry import Geometry

NUMBER, NAME = 900, "Phantom"
SHAPE = (40, 48, 40)
SHAPE_2D = (1, 96, 96)
SPACING = (1.2, 1.0, 1.0)  # mm along (z, y, x)
SMALLEST = 16  # voxels; below that no structure has an inside


def command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that will hold Dataset900_Phantom.")],
    cases: Annotated[int, typer.Option("--cases", min=1, help="Training cases.")] = 12,
    test_cases: Annotated[int, typer.Option("--test-cases", min=0, help="Test cases, with labels in labelsTs.")] = 3,
    shape: Annotated[
        tuple[int, int, int] | None,
        typer.Option("--shape", help="Voxels along z, y, x. Default: 40 48 40, in 2D 1 96 96.", show_default=False),
    ] = None,
    dimensions: Annotated[
        int, typer.Option("--dimensions", min=2, max=3, help="3: volumes (.nii.gz); 2: images (.png).")
    ] = 3,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same files.")] = 0,
) -> None:
    """Write a phantom dataset: a core in a shell, among look-alikes, with bias field, noise and partial volume.

    It serves to try the pipeline without any data. Thresholds fail on it; a network learns it in minutes.

    Examples:

      autodiffseg phantom autodiffseg_workspace/raw

      autodiffseg phantom /tmp/Dataset901_Flat --dimensions 2 --cases 40
    """
    folder = write_phantom(out, cases=cases, test_cases=test_cases, shape=shape, dimensions=dimensions, seed=seed)
    typer.echo(f"{folder}: {cases} training and {test_cases} test cases")


def write_phantom(
    out: Path,
    *,
    cases: int = 12,
    test_cases: int = 3,
    shape: tuple[int, int, int] | None = None,
    dimensions: int = 3,
    seed: int = 0,
) -> Path:
    """Write the dataset; case number n depends on `seed` and n alone.

    Args:
        out: the dataset folder if it is called like one (Dataset901_Name), else the folder that will hold it.
        cases: training cases; there must be one.
        test_cases: cases for imagesTs and labelsTs, numbered on from the training cases.
        shape: voxels along (z, y, x); None takes 40 x 48 x 40, or 96 x 96.
        dimensions: 2 or 3.
        seed: of the random numbers.

    Returns:
        The folder of the dataset.

    Raises:
        UserError: when the folder exists already, or the shape is too small or no 2D shape.
    """
    import numpy as np

    from autodiffseg.images import write_image

    from .new_dataset import dataset_folder, new_dataset
    from .phantom_images import make_phantom

    shape = _checked(shape, dimensions)
    ending = ".nii.gz" if dimensions == 3 else ".png"
    spacing = SPACING if dimensions == 3 else (1.0, 1.0, 1.0)
    folder = dataset_folder(out, NUMBER, NAME)
    with new_dataset(folder, _dataset_json(cases, ending, seed)) as building:
        for number in range(cases + test_cases):
            generator = np.random.default_rng([seed, number])
            phantom = make_phantom(generator, shape, spacing)
            geometry = _geometry(shape, spacing, dimensions, number)
            part = "Tr" if number < cases else "Ts"
            case = f"phantom_{number:03d}"
            intensities = np.rint(phantom.image).clip(0, 255).astype(np.uint8 if dimensions == 2 else np.int16)
            write_image(building / f"images{part}" / f"{case}_0000{ending}", intensities, geometry)
            write_image(building / f"labels{part}" / f"{case}{ending}", phantom.label, geometry)
    return folder


def _checked(shape: tuple[int, int, int] | None, dimensions: int) -> tuple[int, int, int]:
    if shape is None:
        return SHAPE if dimensions == 3 else SHAPE_2D
    if dimensions == 2 and shape[0] != 1:
        raise UserError(f"--shape {' '.join(map(str, shape))} is not 2D; give 1 as first number.")
    if min(shape[3 - dimensions :]) < SMALLEST:
        raise UserError(f"--shape {' '.join(map(str, shape))} is too small; use {SMALLEST} voxels or more per axis.")
    return shape


def _geometry(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], dimensions: int, number: int
) -> Geometry:
    from autodiffseg.geometry import Geometry

    if dimensions == 2:
        return Geometry(shape=shape, spacing=spacing, origin=(0.0, 0.0), direction=(1.0, 0.0, 0.0, 1.0))
    # Another origin for each case and two axes turned round, as in scans of patients.
    return Geometry(
        shape=shape,
        spacing=spacing,
        origin=(31.5 + number, 24.25 - 2.0 * number, -17.75),
        direction=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0),
    )


def _dataset_json(cases: int, ending: str, seed: int) -> dict[str, Any]:
    return {
        "name": NAME,
        "description": f"Made-up images of a core in a shell among look-alikes, seed {seed}",
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "core": 1, "shell": 2},
        "numTraining": cases,
        "file_ending": ending,
    }
