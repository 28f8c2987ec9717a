"""Converter of Medical Segmentation Decathlon tasks (arXiv 2106.05735; http://medicaldecathlon.com)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autodiffseg.command_options import WorkspaceOption
from autodiffseg.errors import UserError

if TYPE_CHECKING:
    from .msd_task import MsdTask, Take


def command(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Task04_Hippocampus (a folder) or Task04_Hippocampus.tar.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder that will hold DatasetNNN_Name. Default: raw/ of the workspace."),
    ] = None,
    number: Annotated[
        int | None, typer.Option("--number", min=1, max=999, help="Number of the dataset. Default: that of the task.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Convert a task of the Medical Segmentation Decathlon.

    Files are copied as they are; 4D images are split into one file per channel.

    Examples:

      autodiffseg convert msd Task04_Hippocampus.tar

      autodiffseg convert msd Task01_BrainTumour --out /data/raw --number 101
    """
    from autodiffseg.workspace import Workspace

    folder = convert_task(source, out or Workspace(workspace).raw, number=number)
    typer.echo(f"{folder}\nNext: autodiffseg plan-and-preprocess {folder}")


def convert_task(source: Path, out: Path, *, number: int | None = None) -> Path:
    """Convert one task.

    Args:
        source: the task's folder or tar archive.
        out: the dataset folder if it is called like one (Dataset004_Name), else the folder that will hold it.
        number: of the dataset; None takes that of the task.

    Returns:
        The folder of the new dataset.

    Raises:
        UserError: when the source is no Decathlon task, lacks files, or the dataset exists already.
    """
    from .msd_task import MsdTask, opened_task, require_files, task_file, task_name
    from .new_dataset import dataset_folder, new_dataset, refuse_existing

    if not source.exists():
        raise UserError(f"{source} does not exist; name a Decathlon task folder or its .tar file.")
    task_number, name = task_name(source, number)
    folder = dataset_folder(out, task_number, name)
    refuse_existing(folder)  # before an archive is unpacked
    with opened_task(source, folder.parent) as (root, take):
        task = MsdTask.load(root / "dataset.json")
        pairs = [(task_file(root, pair.image), task_file(root, pair.label)) for pair in task.training]
        tests = [task_file(root, name) for name in task.test]
        require_files([*(path for pair in pairs for path in pair), *tests], source)
        with new_dataset(folder, _dataset_json(task, len(pairs))) as building:
            for part in ("imagesTr", "labelsTr", *(["imagesTs"] if tests else [])):
                (building / part).mkdir()
            for image, label in _with_progress(pairs, f"{folder.name}, training"):
                _take_image(image, building / "imagesTr", len(task.modality), take)
                take(label, building / "labelsTr" / image.name)
            for image in _with_progress(tests, f"{folder.name}, test"):
                _take_image(image, building / "imagesTs", len(task.modality), take)
    return folder


def _dataset_json(task: MsdTask, cases: int) -> dict[str, Any]:
    """dataset.json of the raw layout.

    Raises:
        UserError: when two labels have the same name, since names become keys.
    """
    names = ["background" if value == 0 else name for value, name in sorted(task.labels.items())]
    if len(set(names)) < len(names):
        raise UserError(f"dataset.json of the task gives two labels the same name ({', '.join(names)}); rename one.")
    texts = {key: getattr(task, key) for key in ("name", "description", "reference", "licence", "release")}
    return {
        **{key: text for key, text in texts.items() if text},
        "channel_names": {str(number): name for number, name in sorted(task.modality.items())},
        "labels": dict(zip(names, sorted(task.labels), strict=True)),
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }


def _take_image(image: Path, folder: Path, channels: int, take: Take) -> None:
    """Bring one image over, as it is when it has one channel, else split along its fourth axis.

    Raises:
        UserError: when the file is unreadable or has another number of channels than dataset.json says.
    """
    import SimpleITK as sitk

    from .msd_task import ENDING

    case = image.name.removesuffix(ENDING)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(image))
    try:
        reader.ReadImageInformation()
        size = list(reader.GetSize())
        found = size[3] if len(size) == 4 else 1
        if found != channels:
            raise UserError(f"{image} has {found} channels, dataset.json names {channels}; correct 'modality'.")
        if len(size) < 4:
            take(image, folder / f"{case}_0000{ENDING}")
            return
        series = reader.Execute()
        for channel in range(channels):
            volume = sitk.Extract(series, [*size[:3], 0], [0, 0, 0, channel])
            sitk.WriteImage(volume, str(folder / f"{case}_{channel:04d}{ENDING}"), useCompression=True)
    except RuntimeError as error:
        raise UserError(f"{image} cannot be read as an image; download it again.") from error


def _with_progress(items: list[Any], description: str) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, description, console=console, disable=not console.is_terminal, transient=True)
