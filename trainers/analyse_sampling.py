"""The command `analyse sampling`: number of sampling steps against quality (the recycling paper's Table 3)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from autodiffseg.command_options import DeviceOption, PrecisionOption, WorkspaceOption
from autodiffseg.errors import UserError

from .analysis_options import (
    CasesOption,
    CheckpointOption,
    FoldsOption,
    MirroringOption,
    ModelArgument,
    OutputOption,
    SeedOption,
)

if TYPE_CHECKING:
    from autodiffseg.plans import Plan

USUAL_STEPS = (1, 2, 3, 5, 10, 20)


def command(
    model: ModelArgument,
    folds: FoldsOption = None,
    cases: CasesOption = None,
    steps: Annotated[
        list[int] | None, typer.Option(min=1, help="Number of steps; may be repeated. Default: 1, 2, 3, 5, 10 and 20.")
    ] = None,
    samplers: Annotated[
        list[str] | None, typer.Option("--sampler", help="ddpm or ddim; may be repeated. Default: both.")
    ] = None,
    seed: SeedOption = 0,
    mirroring: MirroringOption = True,
    checkpoint: CheckpointOption = "last",
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    workspace: WorkspaceOption = None,
    out: OutputOption = None,
) -> None:
    """Score the answers of samplers with few and many steps: what does a step buy?

    Every validation case is predicted once per sampler and number of steps, with the same noise at its beginning.
    Written: sampling.md, sampling.csv, sampling_cases.csv and sampling.png.

    Examples:

      autodiffseg analyse sampling results/Dataset004_Hippocampus/recycling__cpu__3d_fullres --cases 10

      autodiffseg analyse sampling results/Dataset004_Hippocampus/diffusion__cpu__3d_fullres --steps 5 --steps 50
    """
    from autodiffseg.evaluation.step_scores import METRICS, curve
    from autodiffseg.evaluation.step_tables import UNITS, SamplingResult, cases_csv, sampling_table

    from .analysis_report import notes, progress, report
    from .analysis_source import AnalysisSource, SourceRequest, workspace_of
    from .prediction import choose_sampling

    request = SourceRequest(folds or (), cases, checkpoint, device, precision, seed, mirroring)
    source = AnalysisSource(model, workspace_of(model, workspace), request)
    source.require_sampling()
    plan = source.first.plan
    counts = tuple(sorted(set(steps))) if steps else possible_steps(plan, USUAL_STEPS)
    names = tuple(dict.fromkeys(samplers or ("ddpm", "ddim")))
    chosen = [choose_sampling(plan, count, name) for name in names for count in counts]  # refused before work starts
    results = []
    with progress(source.number_of_cases * len(chosen)) as advance:
        for sampling in chosen:
            times = [time.perf_counter()]

            def tell(times: list[float] = times) -> None:
                times.append(time.perf_counter())
                advance()

            scores = source.score(sampling, last_step=True, on_sample=tell)
            # The median: on a GPU the first case of all has the search for kernels in it.
            seconds = median(after - before for before, after in pairwise(times))
            results.append(SamplingResult(sampling.sampler, sampling.steps, scores, seconds))
    title = f"Numbers of sampling steps of {model.name}"
    told = f"Respacing {plan.diffusion.respacing}, noise of seed {seed}."
    table = sampling_table(results, title=title, notes=notes(source, sampling=told))
    panels = {
        UNITS[metric]: {
            name: [curve(r.scores.foreground(metric)).mean[0] for r in results if r.sampler == name] for name in names
        }
        for metric in METRICS
    }
    report(
        out or model / "analysis",
        "sampling",
        table,
        cases_csv({(found.sampler, found.steps): found.scores for found in results}, ("sampler", "steps")),
        panels=panels,
        positions=counts,
        xlabel="sampling steps",
        logarithmic=True,
    )


def possible_steps(plan: Plan, wanted: Sequence[int]) -> tuple[int, ...]:
    """Those of `wanted` that the plan's respacing can make, and the plan's own number."""
    from autodiffseg.diffusion.respacing import respaced_steps

    found = []
    for count in sorted({*wanted, plan.diffusion.sampling_steps}):
        try:
            respaced_steps(plan.diffusion.base_steps, count, plan.diffusion.respacing)
        except UserError:
            continue
        found.append(count)
    return tuple(found)
