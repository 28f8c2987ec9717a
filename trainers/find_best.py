"""The command find-best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from autodiffseg.byte_sizes import shown_bytes
from autodiffseg.command_options import DatasetArgument, DeviceOption, PrecisionOption, WorkspaceOption
from autodiffseg.errors import UserError

console = Console(highlight=False)


def command(
    dataset: DatasetArgument,
    trainers: Annotated[
        list[str] | None, typer.Option("--trainer", help="Only runs of this trainer; may be repeated.")
    ] = None,
    configurations: Annotated[
        list[str] | None, typer.Option("-c", "--configuration", help="Only runs of this one; may be repeated.")
    ] = None,
    plans: Annotated[list[str] | None, typer.Option("--plan", help="Only runs of this plan; may be repeated.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Runs with this tag; may be repeated. Default: those without one.")
    ] = None,
    pairs: Annotated[
        bool,
        typer.Option("--pairs/--no-pairs", help="Try every two runs together too; their cases are predicted anew."),
    ] = True,
    prefer: Annotated[
        Literal["best", "cheaper"],
        typer.Option(
            help="What the printed command uses: the highest mean, or the cheapest within one standard error."
        ),
    ] = "best",
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of inference.json. Default: the results.")
    ] = None,
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    workspace: WorkspaceOption = None,
) -> None:
    """Find the configuration and trainer, or the pair of them, that predicts best in cross-validation.

    Whatever has finished training takes part, over the cases that all of it has validated; what is missing is listed,
    with the command that makes it. A pair is the mean of the probabilities of two runs, each by the fold that did not
    train on the case. Means are given with paired 95 % intervals, and a cheaper candidate within one standard error of
    the best is pointed out. Rules of postprocessing are looked for where a pair is chosen; a run has its own. Written
    to inference.json; the command to predict with is printed.

    Examples:

      autodiffseg find-best Hippocampus

      autodiffseg find-best 4 --trainer supervised --trainer recycling -c 3d_fullres --prefer cheaper
    """
    from autodiffseg.workspace import Workspace

    from .best_postprocessing import postprocess
    from .best_report import make_record, missing_lines, table, told
    from .best_search import BestSearch
    from .candidate_runs import RunFilter
    from .inference_record import FILE
    from .precision import choose_device

    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"{out} is no folder; -o names the folder for {FILE}.")
    place = Workspace(workspace)
    name = place.planned_dataset(dataset)
    chosen = RunFilter(trainers or (), configurations or (), plans or (), tags or ("",))
    search = BestSearch.of(place, name, chosen, with_pairs=pairs)
    for line in missing_lines(search.lacks):
        console.print(line, soft_wrap=True, markup=False)
    size = search.bytes_to_predict()
    if size:
        console.print(f"Probabilities take {shown_bytes(size)} at most, in {search.folder}.", soft_wrap=True)
    with _stages() as stage:
        choice = search.run(choose_device(device), precision, stage)
    record = make_record(search, choice, prefer, postprocess)
    path = (out or place.results(name)) / FILE
    record.save(path)
    console.print(table(search, choice).terminal())
    for sentence in told(search, choice, record):
        console.print(f"- {sentence}", soft_wrap=True, markup=False)
    console.print(f"Written: {path}. Predict with:", soft_wrap=True)
    console.print(record.command, soft_wrap=True, markup=False)


@contextmanager
def _stages() -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """A progress bar for each stage that has something to do."""
    columns = (TextColumn("{task.description:<13}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:

        def begin(name: str, steps: int) -> Callable[[], None]:
            task = progress.add_task(name, total=steps)
            return lambda: progress.advance(task)

        yield begin
