"""The command import-model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from autodiffseg import registry
from autodiffseg.command_options import WorkspaceOption
from autodiffseg.errors import UserError

console = Console(highlight=False)


def command(
    path: Annotated[Path, typer.Argument(metavar="FILE.zip", help="What export-model has made.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder to put the models into. Default: the workspace's results/DATASET."),
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Unpack a shared model, ready to predict; compare shows its validation beside those of your own runs.

    The file may come from anybody: whatever an exported model does not have (links, names that lead elsewhere, a file
    too many, one that unpacks to more than it says) is refused, hashes are compared, weights are loaded without
    executing anything. Nothing is overwritten, and a model appears whole or not at all.

    Examples:

      autodiffseg import-model hippocampus.zip

      autodiffseg import-model hippocampus.zip -o shared_models
    """
    from autodiffseg.sharing.unpacking import opened, read_manifest, unpack
    from autodiffseg.workspace import Workspace

    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"{out} is no folder; -o names the folder to put the models into.")
    with opened(path) as archive:
        record = read_manifest(path, archive)
        results = out or Workspace(workspace).results(record.dataset)
        folders = unpack(path, archive, record, results)
    installed = {*registry.known(registry.TRAINERS), *registry.known(registry.ENSEMBLES)}
    for trainer in record.trainers:
        if trainer not in installed:
            console.print(
                f"Note: it was trained with {trainer}, which is not installed here and which predict imports by that "
                "name; install it only from where you trust.",
                soft_wrap=True,
                markup=False,
            )
    for folder in folders:
        console.print(f"Imported {folder}; what it is stands in {folder / 'MODEL_CARD.md'}.", soft_wrap=True)
    named = " ".join(f"--model {shlex.quote(str(folder))}" for folder in folders)
    console.print(f"Next: autodiffseg predict -i IMAGES -o OUT {named}", soft_wrap=True)
