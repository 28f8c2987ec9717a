"""The command `analyse seeds`: how far samples of other noise lie apart (the recycling paper's Table 4)."""

from __future__ import annotations

from typing import Annotated

import typer

from autodiffseg.command_options import DeviceOption, PrecisionOption, WorkspaceOption

from .analysis_options import (
    CasesOption,
    CheckpointOption,
    FoldsOption,
    MirroringOption,
    ModelArgument,
    OutputOption,
    SeedOption,
)


def command(
    model: ModelArgument,
    folds: FoldsOption = None,
    cases: CasesOption = None,
    samples: Annotated[int, typer.Option("--samples", min=2, help="Draws of each case, each of its own noise.")] = 5,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps. Default: the plan's.")] = None,
    sampler: Annotated[str | None, typer.Option(help="ddpm or ddim. Default: the plan's.")] = None,
    seed: SeedOption = 0,
    mirroring: MirroringOption = True,
    checkpoint: CheckpointOption = "last",
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    workspace: WorkspaceOption = None,
    out: OutputOption = None,
) -> None:
    """Draw each validation case several times: how much does the answer depend on the noise?

    At every step the largest minus the smallest score of a case's samples, averaged over cases. Written: seeds.md,
    seeds.csv, seeds_cases.csv and seeds.png.

    Examples:

      autodiffseg analyse seeds results/Dataset004_Hippocampus/recycling__cpu__3d_fullres

      autodiffseg analyse seeds results/Dataset004_Hippocampus/diffusion__cpu__3d_fullres --cases 10 --samples 3
    """
    from autodiffseg.evaluation.step_scores import METRICS, spread
    from autodiffseg.evaluation.step_tables import UNITS, cases_csv, seeds_table

    from .analysis_report import notes, progress, report
    from .analysis_source import AnalysisSource, SourceRequest, workspace_of
    from .prediction import choose_sampling

    request = SourceRequest(folds or (), cases, checkpoint, device, precision, seed, mirroring)
    source = AnalysisSource(model, workspace_of(model, workspace), request)
    source.require_noise()
    sampling = choose_sampling(source.first.plan, steps, sampler)
    with progress(source.number_of_cases * samples) as advance:
        scores = source.score(sampling, samples=samples, on_sample=advance)
    told = f"{source.told(sampling)}, samples 0 to {samples - 1} of seed {seed}."
    title = f"Spread over {samples} samples of {model.name}"
    table = seeds_table(scores, title=title, notes=notes(source, sampling=told))
    panels = {
        f"Δ{UNITS[metric]}": {name: spread(values).mean for name, values in scores.series(metric).items()}
        for metric in METRICS
    }
    report(
        out or model / "analysis",
        "seeds",
        table,
        cases_csv({(): scores}, ()),
        panels=panels,
        positions=scores.steps,
        xlabel="sampling step",
    )
