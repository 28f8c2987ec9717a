"""The rows of the few-label study, as data: which trainings there are, and what each is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from autodiffseg.runs import fold_folder, run_name, whole_tag
from autodiffseg.workspace import Workspace

Purpose = Literal["main", "ablation", "timestep"]

DATASET, POOL, SHIFTED = "Dataset110_JSRT", "Dataset112_CXRunlabelled", "Dataset111_CovidCXR"
SHIFTED_NAME = "CovidCXR"
DOMAINS = (DATASET, SHIFTED_NAME)
LUNGS_AS_ONE = {name: f"{name}, lungs as one" for name in DOMAINS}
"""What the same label maps are called where both lungs are scored as one class."""
CONFIGURATION, FOLD = "2d", "0"
PLAIN = "augment=false"
"""The TEDM paper augments nothing, neither for its read-outs nor for its baseline."""


@dataclass(frozen=True)
class Method:
    """One way of training, apart from the number of labels."""

    name: str
    """In tables."""
    trainer: str
    tag: str = ""
    settings: tuple[str, ...] = ()
    backbone: bool = True
    """Whether it begins with the pretrained denoiser."""
    says: str = ""
    """What it is."""
    length: float = 1
    """Times its trainer's usual updates."""

    @property
    def updates(self) -> int:
        """Of a training."""
        return round(self.length * UPDATES[self.trainer])


def supervised(name: str, tag: str, *settings: str, says: str) -> Method:
    """A training without any pretraining."""
    return Method(name, "supervised", tag, settings, backbone=False, says=says)


BASELINE = supervised("supervised plain", "plain", PLAIN, says="no augmentation: the TEDM paper's baseline")
AUGMENTED = supervised("supervised", "", says="with the whole augmentation")
TEDM = Method("tedm plain", "tedm", "plain", (PLAIN,), says="eight steps, one head, probabilities averaged")
TEDM_AUGMENTED = Method("tedm", "tedm", says="the same with the whole augmentation")
LEDM = Method("ledm plain", "ledm", "plain", (PLAIN,), says="steps 50, 150 and 250 concatenated")
LEDME = Method("ledme plain", "ledme", "plain", (PLAIN,), says="TEDM's eight steps concatenated")
PROBE = Method("linear-probe plain", "linear-probe", "plain", (PLAIN,), says="a linear map of the features of step 1")
FINETUNED = Method("finetune-ddpm", "finetune-ddpm", says="the whole pretrained network trained on, augmented")
METHODS = (BASELINE, AUGMENTED, TEDM, TEDM_AUGMENTED, LEDM, LEDME, PROBE, FINETUNED)
"""Of the main table."""

SCRATCH = Method(
    "finetune-ddpm from scratch",
    "finetune-ddpm",
    "scratch",
    ("from_scratch=true", "learning_rate=0.001"),
    backbone=False,
    says="the same network with random weights and the usual learning rate",
)
FAST = Method(
    "finetune-ddpm 0.001", "finetune-ddpm", "lr1e-3", ("learning_rate=0.001",), says="with the usual learning rate"
)
SMALL_STEPS = Method(
    "tedm 1,10,25,50", "tedm", "t1-50", (PLAIN, "timesteps=1,10,25,50"), says="without the steps of much noise"
)
ONE_STEP_EIGHT = Method(
    "tedm 50, eight noises", "tedm", "t50x8", (PLAIN, "timesteps=50", "noises=8"), says="one step, eight draws of noise"
)
ONE_STEP = Method("tedm 50", "tedm", "t50", (PLAIN, "timesteps=50"), says="one step, one draw of noise")
ONE_STEP_VOXELS = Method(
    "tedm 50, eight times the voxels", "tedm", "t50-2048", (PLAIN, "timesteps=50", "voxels=2048"),
    says="one step, one draw of noise, learning from as many voxels as the row of eight draws",
)  # fmt: skip
DENSE = (PLAIN, "voxels=1000000")
LEDM_DENSE = Method(
    "ledm plain, all voxels", "ledm", "plain-dense", DENSE,
    says="the other read-outs learn from a sixteenth of an image's voxels for every answer, of which TEDM has eight",
)  # fmt: skip
LEDME_DENSE = Method("ledme plain, all voxels", "ledme", "plain-dense", DENSE, says="the same of LEDMe")
ABLATIONS = (SMALL_STEPS, ONE_STEP_EIGHT, ONE_STEP, ONE_STEP_VOXELS, LEDM_DENSE, LEDME_DENSE, SCRATCH, FAST)
BASELINE_LONGER = replace(BASELINE, name="supervised plain, longer", tag="plain-longer", length=3)
TEDM_LONGER = replace(TEDM, name="tedm plain, longer", tag="plain-longer", length=3)
LONGER = (BASELINE_LONGER, TEDM_LONGER)
"""With all labels alone: whether what is true of them is a matter of the time."""
BASELINE_SHORTER = replace(BASELINE, name="supervised plain, shorter", tag="plain-shorter", length=0.1)
AUGMENTED_SHORTER = replace(AUGMENTED, name="supervised, shorter", tag="shorter", length=0.1)
SHORTER = (BASELINE_SHORTER, AUGMENTED_SHORTER)
"""With few labels alone, on which a whole network may be trained too long."""
FEWEST = (1, 3)
"""Numbers of labels of these."""

COUNTS = (1, 3, 6, 12, None)
"""Numbers of labels; None is all."""
SEVERAL = {1: (0, 1, 2, 3), 3: (0, 1, 2)}
"""Number of labels -> label seeds; one seed of the others."""
ABLATED, ABLATED_SEEDS = (1,), (0, 1, 2)
"""Numbers of labels and label seeds of the ablations."""
TIMESTEPS = (1, 10, 25, 50, 200, 500, 800, 950)
"""Each read by a linear probe of its own, with one label."""


def probe_of(step: int) -> Method:
    """The linear probe of one step."""
    return Method(f"linear-probe {step}", "linear-probe", f"t{step}", (PLAIN, f"timesteps={step}"))


PROBES = tuple(map(probe_of, TIMESTEPS))

UPDATES = {"supervised": 1500, "finetune-ddpm": 1500, "tedm": 800, "ledm": 800, "ledme": 800, "linear-probe": 800}
"""Of a training, by trainer. At 64 pixels an update took 0.06 s (supervised), 0.07 s (finetune-ddpm), 0.17 s (tedm),
0.07 s (ledm), 0.16 s (ledme) and 0.03 s (linear-probe) of one core in bf16, half as much again in fp32 (process time,
medians of six in turns): so a head takes less than four minutes, as was set."""
PRETRAINING = 30_000
"""Updates of the denoiser: 32 to 44 minutes of one core in bf16, about 80 in fp32, beside other work."""


@dataclass(frozen=True)
class Row:
    """One training."""

    method: Method
    labels: int | None
    label_seed: int
    purpose: Purpose

    @property
    def tag(self) -> str:
        """Of its folder."""
        return whole_tag(self.method.tag, 0, self.labels, self.label_seed)


def rows() -> Iterator[Row]:
    """All trainings, those first whose answer is asked for most: one label, then three, then more of them."""
    for labels in COUNTS:
        for seed in SEVERAL.get(labels or 0, (0,)):
            yield from (Row(method, labels, seed, "main") for method in METHODS)
            if labels in ABLATED and seed in ABLATED_SEEDS:
                yield from (Row(method, labels, seed, "ablation") for method in ABLATIONS)
    yield from (Row(method, None, 0, "ablation") for method in LONGER)
    for labels in FEWEST:
        yield from (Row(method, labels, seed, "ablation") for seed in ABLATED_SEEDS for method in SHORTER)
    yield from (Row(probe, 1, 0, "timestep") for probe in PROBES)


@dataclass(frozen=True)
class Setting:
    """Where a study lies and how large it is."""

    data: Path
    """Folder of the raw datasets."""
    workspace: Workspace
    results: Path
    """Folder of the rows."""
    size: int = 64
    """Pixels to which every image is brought, along both axes."""
    updates: int | None = None
    """Of every training and of the pretraining; None: as listed. For trying the study."""

    @property
    def plan(self) -> str:
        """Its name."""
        return f"cpu{self.size}"

    def name(self, row: Row) -> str:
        """The folder name of a training, by which its file is called too."""
        return run_name(row.method.trainer, self.plan, CONFIGURATION, row.tag)

    def model(self, row: Row) -> Path:
        """The folder of a training: the one that holds its fold."""
        return self.workspace.results(DATASET) / self.name(row)

    def folder(self, row: Row) -> Path:
        """The folder of its fold."""
        return fold_folder(self.model(row), FOLD)

    def file(self, row: Row) -> Path:
        """Where what was measured is written."""
        return self.results / f"{self.name(row)}.json"

    def updates_of(self, row: Row) -> int:
        """Of a training."""
        return self.updates or row.method.updates

    @property
    def backbone(self) -> Path:
        """The folder of the pretrained denoiser."""
        return self.workspace.results(DATASET) / f"pretraining__{self.plan}__{CONFIGURATION}" / "pool"

    @property
    def place(self) -> list[str]:
        """Options that every command has."""
        return ["--workspace", str(self.workspace.root)]

    def planning(self) -> list[str]:
        """The command that plans and preprocesses."""
        raw, size = str(self.data / DATASET), str(self.size)
        words = ["plan-and-preprocess", raw, "-c", CONFIGURATION, "--preset", "cpu", "--target-size", size, size]
        return [*words, "--name", self.plan, *self.place]

    def pool_folders(self) -> list[Path]:
        """The folders of unlabelled images."""
        return sorted(path for path in (self.data / POOL).glob("imagesUn*") if path.is_dir())

    def pretraining(self) -> list[str]:
        """The command that pretrains, or goes on with it."""
        words = ["pretrain", str(self.data / DATASET), CONFIGURATION, "--plan", self.plan]
        words += [word for folder in self.pool_folders() for word in ("--unlabelled", str(folder))]
        return [*words, "--iterations", str(self.updates or PRETRAINING), "--continue", *self.place]

    def training(self, row: Row) -> list[str]:
        """The command that trains a row, or goes on with it."""
        method = row.method
        words = ["train", DATASET, CONFIGURATION, FOLD, "--trainer", method.trainer, "--plan", self.plan]
        words += ["--tag", method.tag] if method.tag else []
        words += ["--iterations", str(self.updates_of(row)), "--continue"]
        if row.labels is not None:
            words += ["--n-labelled", str(row.labels), "--label-seed", str(row.label_seed)]
        words += ["--backbone", str(self.backbone)] if method.backbone else []
        return [*words, *(word for setting in method.settings for word in ("--set", setting)), *self.place]
