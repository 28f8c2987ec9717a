"""Command-line options that several commands share, so that they read and behave alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="Path, number (4) or name (Hippocampus) of the dataset.")
]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        help="Holds raw/, preprocessed/, results/. Default: $AUTODIFFSEG_WORKSPACE or ./autodiffseg_workspace.",
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option("--num-processes", min=1, help="Worker processes. Default: the cores of this machine, 8 at most."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", help="cuda, cuda:1, cpu or mps. Default: cuda where there is one, else cpu."),
]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="auto, fp32, bf16 or fp16. auto: the fastest that the device does well.")
]
PlanOption = Annotated[
    str | None, typer.Option("--plan", help="Name of the plan. Default: the only one, or 'default'.")
]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option("--n-labelled", metavar="N …", help="Numbers of labels, `all` among them, as in 1 3 6 all."),
]
LARGEST_LABEL_SEED = 2**32 - 1
"""What the generator that orders the cases takes, numpy's RandomState."""
LabelSeedsOption = Annotated[
    list[int] | None,
    typer.Option(
        "--label-seeds",
        metavar="N …",
        min=0,
        max=LARGEST_LABEL_SEED,
        help="Seeds of the choice of labels, as in 0 1 2.",
    ),
]
ShiftedOption = Annotated[
    tuple[Path, Path, str] | None,
    typer.Option(
        "--shifted", metavar="IMAGES LABELS NAME", help="Labelled images of another domain, that models are tried on."
    ),
]
