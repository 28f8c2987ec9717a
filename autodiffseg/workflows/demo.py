"""The command `demo`: the whole path on a made-up dataset, as a user would type it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from autodiffseg.errors import UserError
from autodiffseg.workflows.typed_command import run_typed

DATASET = "Dataset900_Phantom"
CASES, TEST_CASES = 20, 3
TRAINERS = ("supervised", "recycling")
MODEL = f"{TRAINERS[-1]}__cpu__3d_fullres"
MARK = ".autodiffseg_demo"
"""A folder with this file was made by the demo, and the next demo may replace what it holds."""
PARTS = ("raw", "preprocessed", "results", "predictions", "overlays")

console = Console(highlight=False)


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all that the demo writes.")] = Path(
        "autodiffseg_demo"
    ),
    iterations: Annotated[int, typer.Option("--iterations", min=1, help="Network updates of each training.")] = 250,
) -> None:
    """Run everything once on a made-up dataset: plan, train two trainers briefly, predict, evaluate, compare.

    Takes about two minutes on two free CPU cores and needs neither data nor a GPU. Every command is shown as you would
    type it. The trainings are far too short to say which trainer is better. The folder is a workspace: look into it.

    Examples:

      autodiffseg demo

      autodiffseg demo --out /tmp/demo --iterations 1000
    """
    began = time.monotonic()
    _clear(out)
    for arguments in steps(out, iterations):
        code = run_typed(arguments, console)
        if code != 0:
            raise typer.Exit(code)
    console.print("\nTest cases, reference and prediction:", style="bold")
    for path in _draw_overlays(out):
        console.print(f"  {path}", soft_wrap=True)
    console.print(f"Done in {time.monotonic() - began:.0f} s.")


def steps(out: Path, iterations: int) -> list[list[str]]:
    """The command lines of the demo, without the name of the program."""
    raw, place = out / "raw" / DATASET, ["--workspace", str(out)]
    predictions, model = str(out / "predictions"), str(out / "results" / DATASET / MODEL)
    training = ["Phantom", "3d_fullres", "0", "--plan", "cpu", "--iterations", str(iterations), *place]
    return [
        ["phantom", str(out / "raw"), "--cases", str(CASES), "--test-cases", str(TEST_CASES)],
        ["plan-and-preprocess", "Phantom", "--preset", "cpu", "-c", "3d_fullres", *place],
        *(["train", *training, "--trainer", trainer] for trainer in TRAINERS),
        ["predict", "-i", str(raw / "imagesTs"), "-o", predictions, "--model", model],
        ["evaluate", "-p", predictions, "-r", str(raw / "labelsTs")],
        ["compare", "Phantom", *place],
    ]


def _clear(out: Path) -> None:
    """Make room for the demo: in a new folder, or in that of an earlier demo.

    Raises:
        UserError: when the folder holds something that the demo did not make, or cannot be written to.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; name another folder with --out.")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise UserError(f"{out} holds something that the demo did not make; name another folder with --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
        for part in PARTS:
            if (out / part).exists():
                shutil.rmtree(out / part)
    except OSError as error:
        raise UserError(f"{out} cannot be written to ({error}); name another folder with --out.") from error


def _draw_overlays(out: Path) -> list[Path]:
    """One picture a test case."""
    from autodiffseg.dataset import RawDataset, group_case_files
    from autodiffseg.images import read_case, read_label
    from autodiffseg.workflows.overlay import save_overlay

    dataset = RawDataset(out / "raw" / DATASET)
    ending = dataset.json.file_ending
    drawn = []
    for case, files in group_case_files(dataset.folder / "imagesTs", ending).items():
        image, geometry = read_case(files)
        labels = {
            "reference": read_label(dataset.folder / "labelsTs" / f"{case}{ending}")[0],
            "prediction": read_label(out / "predictions" / f"{case}{ending}")[0],
        }
        path = out / "overlays" / f"{case}.png"
        save_overlay(
            path,
            image[0],
            labels,
            classes=dataset.spec.foreground,
            spacing_mm=geometry.spacing,
            title=f"{case}, {MODEL}",
        )
        drawn.append(path)
    return drawn
