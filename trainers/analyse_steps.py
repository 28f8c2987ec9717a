"""The command `analyse steps`: Dice and HD95 after every sampling step (the recycling paper's Figure 3)."""

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
    """Score every sampling step on the validation cases: does the prediction get better on the way?

    Each case is predicted by the fold that did not train on it, and the mask that each step predicts is scored as if
    it were the answer. A model that answers in one pass has one row; tedm has one for the mean over its first one, two,
    three, … noise levels. Written: steps.md, steps.csv, steps_cases.csv and
    steps.png.

    Examples:

      autodiffseg analyse steps results/Dataset004_Hippocampus/recycling__cpu__3d_fullres

      autodiffseg analyse steps results/Dataset004_Hippocampus/diffusion__cpu__3d_fullres --fold 0 --cases 10 --steps 10
    """
    from autodiffseg.evaluation.step_scores import METRICS, curve
    from autodiffseg.evaluation.step_tables import UNITS, cases_csv, steps_table

    from .analysis_report import notes, progress, report
    from .analysis_source import AnalysisSource, SourceRequest, workspace_of
    from .prediction import choose_sampling

    request = SourceRequest(folds or (), cases, checkpoint, device, precision, seed, mirroring)
    source = AnalysisSource(model, workspace_of(model, workspace), request)
    sampling = choose_sampling(source.first.plan, steps, sampler)
    with progress(source.number_of_cases) as advance:
        scores = source.score(sampling, on_sample=advance)
    told = f"{source.told(sampling)}, noise of seed {seed}. "
    if source.samples_in_steps:
        told += "Step 1 is the prediction from pure noise, the last step is the answer."
    elif source.first.predicted_steps(sampling) > 1:
        told += "Step n is the mean of the first n answers, in the order of its noise levels; the last is the answer."
    else:
        told = "It has one answer, so there is one step."
    table = steps_table(scores, title=f"Sampling steps of {model.name}", notes=notes(source, sampling=told))
    panels = {
        UNITS[metric]: {name: curve(values).mean for name, values in scores.series(metric).items()}
        for metric in METRICS
    }
    report(
        out or model / "analysis",
        "steps",
        table,
        cases_csv({(): scores}, ()),
        panels=panels,
        positions=scores.steps,
        xlabel="sampling step",
    )
