"""The command export-model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autodiffseg.byte_sizes import shown_bytes
from autodiffseg.errors import UserError

console = Console(highlight=False)


def command(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL…", help="Folder of a trained model; several are shared together, as an ensemble."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--output", help="The zip file.")],
    folds: Annotated[
        list[str] | None,
        typer.Option("--fold", help="Share this fold alone; may be repeated. Default: all finished folds."),
    ] = None,
) -> None:
    """Put a trained model into one zip file, to be shared.

    It holds the weights of the last checkpoints (without the state of the training), plan, dataset.json, the records
    of the trainings, validation scores, postprocessing and MODEL_CARD.md for people to read. The members of an
    ensemble and the previous stage of a cascade are included. Paths of this machine are taken out; images and label
    maps are never included. The ids of the cases are, so that scores can be compared case by case.

    Examples:

      autodiffseg export-model results/Dataset004_Hippocampus/recycling__cpu__3d_fullres -o hippocampus.zip

      autodiffseg export-model supervised__cpu__2d supervised__cpu__3d_fullres --fold 0 -o ensemble.zip
    """
    from autodiffseg.sharing.packing import choose_folds, needed_models, pack

    if out.suffix != ".zip":
        raise UserError(f"{out}: -o names a file that ends with .zip.")
    if out.exists():
        raise UserError(f"{out} exists and is not overwritten; remove it or name another.")
    if len({model.resolve() for model in models}) < len(models):
        raise UserError("A model is named twice; name each once.")
    chosen = [choose_folds(model, folds or ()) for model in models]
    needed = needed_models(chosen)
    columns = (TextColumn("Exporting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("export", total=sum(len(model.records) for model in (*chosen, *needed)))
        pack(chosen, needed, out, on_fold=lambda: progress.advance(task))
    for model in chosen:
        console.print(f"- {model.name}: fold {', '.join(model.records)}", soft_wrap=True)
    for model in needed:
        console.print(f"- {model.name}, which is needed with it: fold {', '.join(model.records)}", soft_wrap=True)
    console.print(f"Exported to {out} ({shown_bytes(out.stat().st_size)}), with the ids of its cases.", soft_wrap=True)
