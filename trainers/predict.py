"""The command predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from autodiffseg.command_options import DeviceOption, PrecisionOption

console = Console(highlight=False)


def command(
    source: Annotated[
        Path, typer.Option("-i", "--input", help="Folder of CASE_0000.ext files, or one of them for its case alone.")
    ],
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder for the label maps CASE.ext.")],
    models: Annotated[
        list[Path],
        typer.Option(
            "--model", help="Folder of a trained model: the one that holds fold_0. May be repeated to average several."
        ),
    ],
    folds: Annotated[
        list[str] | None,
        typer.Option("--fold", help="Use this fold of each model; may be repeated. Default: all finished folds."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps. Default: the plan's.")] = None,
    sampler: Annotated[str | None, typer.Option(help="ddpm or ddim. Default: the plan's.")] = None,
    eta: Annotated[
        float | None, typer.Option(help="Of ddim: share of fresh noise, 0 (none) to 1. Default: the plan's.")
    ] = None,
    variance: Annotated[
        str | None, typer.Option(help="Of ddpm: fixed-small or fixed-large. Default: the plan's.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    step_size: Annotated[
        float, typer.Option(min=0.05, max=1.0, help="Distance of the windows as a fraction of the patch.")
    ] = 0.5,
    mode: Annotated[
        str,
        typer.Option(
            help="tile: each window is sampled by itself. synchronised: all go step by step from one common mask. "
            "volume: one window holds the whole case, if the memory does."
        ),
    ] = "tile",
    mirroring: Annotated[
        bool, typer.Option("--mirroring/--no-mirroring", help="Average over the plan's mirror axes; slower, better.")
    ] = True,
    mirror_axes: Annotated[
        str | None, typer.Option(help="Patch axes to mirror along, such as 0,2, or none. Default: the plan's.")
    ] = None,
    rotate_mirrors: Annotated[
        bool,
        typer.Option(
            "--rotate-mirrors", help="With --num-samples: one mirrored version a sample, in turn, not all in each."
        ),
    ] = False,
    rotate_timesteps: Annotated[
        bool,
        typer.Option("--rotate-timesteps", help="Of tedm, with --num-samples 8: one of its noise levels a sample."),
    ] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits on any number of threads; slower on a GPU.")
    ] = False,
    checkpoint: Annotated[
        str, typer.Option(help="last, or best: chosen on the validation cases, so no fair test on them.")
    ] = "last",
    postprocessing: Annotated[
        Path | None,
        typer.Option("--postprocessing", help="Rules for removing components. Default: the model's, if it has any."),
    ] = None,
    postprocess: Annotated[
        bool, typer.Option(" /--no-postprocessing", help="Leave the label maps as the networks make them.")
    ] = True,
    part: Annotated[
        str, typer.Option(metavar="I/N", help="Predict every N-th case from the I-th on, to share the work.")
    ] = "0/1",
    go_on: Annotated[bool, typer.Option("--continue", help="Skip cases that are there already.")] = False,
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    save_probabilities: Annotated[
        bool, typer.Option("--save-probabilities", help="Write CASE.npz too: probabilities (K, Z, Y, X), float16.")
    ] = False,
    save_steps: Annotated[
        bool, typer.Option("--save-steps", help="Write what each sampling step predicts too: step_1/CASE.ext, …")
    ] = False,
    samples: Annotated[
        int,
        typer.Option(
            "--num-samples", min=1, help="Draw each case so often and average; each draw is in sample_0/CASE.ext, …"
        ),
    ] = 1,
    uncertainty: Annotated[
        bool | None,
        typer.Option(
            "--uncertainty/--no-uncertainty",
            help="Write uncertainty.csv and entropy maps: what folds, models and samples disagree about. "
            "Default: with several samples.",
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="GB",
            help="Memory for probabilities; above it they are kept on disk in OUTPUT meanwhile. "
            "Default: half of what is free.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--num-workers",
            min=0,
            help="Threads that write while the network goes on; one more reads ahead. They do not change the result; "
            "0: one after the other. Default: half of the cores, three at most.",
        ),
    ] = None,
) -> None:
    """Segment new images with a trained model, or with several.

    Each label map has the geometry of its image. Probabilities are averaged over windows, mirrored versions and folds.
    Several models, of the same labels, are averaged too: first the folds of each, then the models, which count alike
    whatever their number of folds. They may be of other trainers, plans and configurations.

    A model that has a postprocessing.json (see `autodiffseg postprocess`) has its rules applied to every label map;
    several models, if they all have the same rules. Probabilities stay as they are.

    OUTPUT also gets dataset.json (for `evaluate`) and predict.json (how the predictions came about); earlier
    predictions of the same cases are removed first, unless you say --continue. A case that cannot be read does not stop
    the others; it is named at the end, and the exit code is 1. A cascade runs its previous stage by itself: all
    finished folds of the model that was trained before it and lies beside it, with the same options. Started by
    `torchrun --nproc-per-node gpu -m autodiffseg predict …` each process takes a GPU, and they share the cases.

    Examples:

      autodiffseg predict -i imagesTs -o predictions --model results/Dataset004_Hippocampus/recycling__cpu__3d_fullres

      autodiffseg predict -i imagesTs -o predictions --model …/supervised__cpu__2d --model …/recycling__cpu__3d_fullres

      autodiffseg predict -i scan_0000.nii.gz -o predictions --model … --fold 0 --steps 10 --sampler ddim
    """
    from autodiffseg.sampling import SamplingRequest

    from .prediction_job import PredictionJob, run_prediction
    from .prediction_options import PredictionOptions, WantedOutputs, read_mirror_axes, read_mode
    from .resources import Resources, default_writers

    job = PredictionJob(
        source=source,
        out=out,
        models=tuple(models),
        folds=tuple(folds or ()),
        checkpoint=checkpoint,
        sampling=SamplingRequest(steps, sampler, eta, variance),
        options=PredictionOptions(
            seed=seed,
            samples=samples,
            step_size=step_size,
            mode=read_mode(mode),
            mirroring=mirroring,
            mirror_axes=read_mirror_axes(mirror_axes, mirroring=mirroring),
            rotate_mirrors=rotate_mirrors,
            rotate_timesteps=rotate_timesteps,
            deterministic=deterministic,
        ),
        wanted=WantedOutputs(
            probabilities=save_probabilities,
            steps=save_steps,
            uncertainty=samples > 1 if uncertainty is None else uncertainty,
        ),
        postprocessing=postprocessing,
        postprocess=postprocess,
        resources=Resources(memory, default_writers() if workers is None else workers),
        part=part,
        go_on=go_on,
        device=device,
        precision=precision,
    )
    run_prediction(job, console)
