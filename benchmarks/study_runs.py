"""The runs of the recycling study, as data: which trainings there are, and what each is for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from autodiffseg.runs import fold_folder, run_name
from autodiffseg.trainers.run_request import RunRequest
from autodiffseg.workspace import Workspace

Purpose = Literal["main", "equal wall time", "ablation"]

PAPERS_SCHEDULE = "log_snr_shift=0"
"""Of the trainers that noise the label: our plans shift their schedule, the recycling paper has no such thing."""
FAMILY = ("recycling", "recycling-next", "self-conditioning-next", "self-conditioning-same", "diffusion")
"""The trainers that sample, as the recycling paper orders them backwards."""
TRAINERS = ("supervised", *FAMILY)
PAPERS_NAMES = {
    "supervised": "No diffusion",
    "diffusion": "Diff.",
    "self-conditioning-same": "Diff. sc. x_t",
    "self-conditioning-next": "Diff. sc. x_{t+1}",
    "recycling-next": "Diff. rec. x_{t+1}",
    "recycling": "Diff. rec. x_T",
}


@dataclass(frozen=True)
class Run:
    """One training."""

    trainer: str
    updates: int
    seed: int = 0
    tag: str = ""
    settings: tuple[str, ...] = ()
    plan: str = "cpu"
    purpose: Purpose = "main"
    says: str = ""
    """Of an ablation: what is changed."""
    step_counts: bool = False
    """Whether its answers after other numbers of sampling steps are measured too."""


@dataclass(frozen=True)
class Study:
    """All trainings on one fold of one dataset."""

    dataset: str
    configuration: str
    runs: tuple[Run, ...]
    fold: str = "0"
    says: str = ""
    """What the data are."""

    def name(self, run: Run) -> str:
        """The folder name of a run, by which its rows are called too."""
        request = RunRequest(
            dataset=self.dataset,
            configuration=self.configuration,
            fold=self.fold,
            trainer=run.trainer,
            plan=run.plan,
            tag=run.tag,
            seed=run.seed,
            iterations=run.updates,
            device=None,
            precision="auto",
            settings=run.settings,
        )
        return run_name(run.trainer, run.plan, self.configuration, request.whole_tag)

    def model(self, run: Run, workspace: Workspace) -> Path:
        """The model folder of a run: the one that holds its fold."""
        return workspace.results(self.dataset) / self.name(run)

    def folder(self, run: Run, workspace: Workspace) -> Path:
        """The folder of its fold."""
        return fold_folder(self.model(run, workspace), self.fold)

    def command(self, run: Run, workspace: Path) -> list[str]:
        """What `autodiffseg` is called with to train it, or to go on with it."""
        words = ["train", self.dataset, self.configuration, self.fold, "--trainer", run.trainer, "--plan", run.plan]
        words += [
            "--seed",
            str(run.seed),
            "--iterations",
            str(run.updates),
            "--workspace",
            str(workspace),
            "--continue",
        ]
        words += ["--tag", run.tag] if run.tag else []
        return words + [word for setting in run.settings for word in ("--set", setting)]

    def main_runs(self, trainer: str) -> tuple[Run, ...]:
        """The main runs of a trainer, by seed."""
        return tuple(run for run in self.runs if run.purpose == "main" and run.trainer == trainer)


def main_run(trainer: str, updates: int, seed: int = 0) -> Run:
    """A training for the main table."""
    settings = () if trainer in ("supervised", "recycling") else (PAPERS_SCHEDULE,)
    return Run(trainer, updates, seed, settings=settings, step_counts=seed == 0 and trainer != "supervised")


def ablation(tag: str, says: str, *settings: str, plan: str = "cpu") -> Run:
    """A short training of recycling with one thing changed."""
    return Run("recycling", 2000, tag=tag, settings=settings, plan=plan, purpose="ablation", says=says)


def wall_time(trainer: str, updates: int) -> Run:
    """A training that takes as long as recycling's does."""
    return replace(main_run(trainer, updates), tag="wall-time", purpose="equal wall time", step_counts=False)


WITH_TRANSFORMER = "cpu-transformer"
"""The plan `cpu`, edited: it has no transformer, so the paper's ablation is the other way round here."""
EQUAL_TIME = {"supervised": 6750, "diffusion": 6500}
"""Updates that take as long as 5000 of recycling: an update took 0.251 s (supervised), 0.261 s (diffusion) and 0.338 s
(recycling) of one core (medians of turns, `diffusion_cost.py`)."""
COUNTED_ON_JSRT = ("recycling", "diffusion")
REFERENCE_TAG = "2000"
"""Of the run that the ablations are compared with, and of the one with the edited plan."""

HIPPOCAMPUS = Study(
    "Dataset004_Hippocampus",
    "3d_fullres",
    (
        *(main_run(trainer, 5000) for trainer in TRAINERS),
        *(main_run(trainer, 5000, seed) for seed in (1, 2) for trainer in ("recycling", "supervised", "diffusion")),
        ablation(REFERENCE_TAG, "nothing: the reference"),
        ablation("2000-noise", "the network predicts the noise, not the mask", "prediction=noise"),
        ablation(
            "2000-mse",
            "squared error of the mask instead of Dice and cross-entropy",
            "dice_weight=0",
            "cross_entropy_weight=0",
            "mse_weight=1",
        ),
        ablation(
            REFERENCE_TAG, "one transformer layer at the bottom, which the plan `cpu` lacks", plan=WITH_TRANSFORMER
        ),
        ablation("2000-steps-5", "trained on 5 base steps instead of 1001", "training_steps=5"),
        ablation("2000-no-level", "the network is not told the noise level", "level_conditioning=none"),
        *(wall_time(trainer, updates) for trainer, updates in EQUAL_TIME.items()),
    ),
    says="MSD Task04 (CC-BY-SA 4.0), MR, anterior and posterior hippocampus; the 208 labelled cases of a public copy, "
    "166 to train on and 42 to validate on.",
)
JSRT = Study(
    "Dataset110_JSRT",
    "2d",
    (
        *(replace(main_run(trainer, 2000), step_counts=trainer in COUNTED_ON_JSRT) for trainer in TRAINERS),
        *(main_run(trainer, 2000, 1) for trainer in ("recycling", "supervised")),  # for pairs and their controls
    ),
    says="JSRT chest radiographs of 200 × 200 pixels, lungs and heart; 196 images, a fifth to validate on. The files "
    "give no spacing, so a pixel counts as 1 mm.",
)
STUDIES = {study.dataset: study for study in (HIPPOCAMPUS, JSRT)}
