"""Options that the analyses share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Folder of a trained model: the one that holds fold_0.")
]
FoldsOption = Annotated[
    list[str] | None, typer.Option("--fold", help="Only this fold; may be repeated. Default: all that have finished.")
]
CasesOption = Annotated[
    int | None, typer.Option("--cases", min=1, help="Only the first so many validation cases of each fold.")
]
OutputOption = Annotated[
    Path | None, typer.Option("-o", "--output", help="Folder of the files. Default: analysis/ in MODEL.")
]
CheckpointOption = Annotated[
    str, typer.Option("--checkpoint", help="last, or best: chosen on the very cases it is scored on.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of the noise.")]
MirroringOption = Annotated[
    bool, typer.Option("--mirroring/--no-mirroring", help="Average over the plan's mirror axes, as validation does.")
]
