"""Options that the commands share that train."""

from __future__ import annotations

from typing import Annotated

import typer

ConfigurationArgument = Annotated[str, typer.Argument(help="2d, 3d_fullres, … as planned.")]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, help="Of weights, batches and noise; other than 0 it joins the tag.")
]
ContinueOption = Annotated[bool, typer.Option("--continue", help="Go on from the last checkpoint, if there is one.")]
IterationsOption = Annotated[
    int | None, typer.Option("--iterations", min=1, help="Network updates. Default: the plan's.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--num-workers", min=0, help="Data loading processes. They do not change the result.")
]
