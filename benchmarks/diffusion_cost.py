"""What the diffusion trainers cost beside supervised training: an update, its memory, and a prediction of a folder.

Command:
    python benchmarks/diffusion_cost.py RAW_DATASET [--rounds N] [--predictions N] [--cases N] [--threads N]

The plan is `cpu` in a fresh workspace. All kinds are measured in turns, so that whatever else the machine does falls on
all alike, and medians are compared. Writes benchmarks/results/diffusion_cost.json (or --output) and prints it:

    machine, versions, revision, command, threads
    training     seconds: {trainer: median of an update on a batch that is ready}; cpu_seconds: the same of all threads'
                 time on the processor, which work beside does not lengthen; rounds
    memory       bytes: {trainer: most bytes of tensors alive at once in an update on the CPU, counted as operators make
                 and free them (autodiffseg.memory.live_tensors), optimiser and weights included}; cuda_bytes: the same
                 for a GPU in fp16, counted without one
    prediction   seconds: {trainer: median wall time of `predict` of the folder, start of Python included}; cases;
                 predictions
    ratios       {what: {value, at_most, met}}: what is wanted of recycling
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from autodiffseg.atomic import write_json
from autodiffseg.dataset import RawDataset
from autodiffseg.runs import RECORD, fold_folder
from autodiffseg.trainers.checkpoints import LAST, save_checkpoint, trainer_class
from autodiffseg.trainers.loop import Loop
from autodiffseg.trainers.provenance import git_revision, hardware, versions
from autodiffseg.trainers.run_request import RunRequest
from autodiffseg.trainers.run_setup import prepare
from autodiffseg.trainers.training_memory import trace
from autodiffseg.workspace import Workspace

TRAINERS = (
    "supervised",
    "diffusion",
    "self-conditioning-same",
    "self-conditioning-next",
    "recycling-next",
    "recycling",
)
PREDICTED = ("supervised", "diffusion", "recycling")
CONFIGURATION, PLAN = "3d_fullres", "cpu"
WARM_UP = 3
"""Rounds that do not count."""
CPU_BLOCK = 64
"""Bytes to whose multiples torch's CPU allocator aligns tensors."""
RESULT = Path(__file__).parent / "results" / "diffusion_cost.json"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--rounds", type=int, default=60, help="Updates of every trainer that count.")
    parser.add_argument("--predictions", type=int, default=3, help="Of the folder by every model.")
    parser.add_argument("--cases", type=int, default=20, help="Images in the folder.")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        planning = ["plan-and-preprocess", str(arguments.dataset), "-c", CONFIGURATION, "--preset", PLAN]
        autodiffseg([*planning, "--workspace", str(workspace.root)])
        loops = {name: make_loop(name, arguments.dataset, workspace) for name in TRAINERS}
        training = time_updates({name: loop for name, (loop, _) in loops.items()}, rounds=arguments.rounds)
        models = {name: save_model(*loops[name]) for name in PREDICTED}
        images = copy_images(arguments.dataset, Path(folder) / "images", arguments.cases)
        prediction = time_predictions(models, images, Path(folder), times=arguments.predictions)
        memory = count_memory({name: loop for name, (loop, _) in loops.items()})
    content = {
        "machine": hardware(torch.device("cpu")),
        "versions": versions(),
        "revision": git_revision(),
        "command": shlex.join(["python", "benchmarks/diffusion_cost.py", *sys.argv[1:]]),
        "threads": arguments.threads,
        "training": training,
        "memory": memory,
        "prediction": {**prediction, "cases": arguments.cases, "predictions": arguments.predictions},
        "ratios": ratios(training, memory, prediction),
    }
    write_json(arguments.output, content)
    print(json.dumps(content, indent=2))


def make_loop(trainer: str, dataset: Path, workspace: Workspace) -> tuple[Loop, Path]:
    """A training that has not begun, and the folder of its fold."""
    request = RunRequest(
        dataset=dataset.resolve().name,
        configuration=CONFIGURATION,
        fold="0",
        trainer=trainer,
        plan=PLAN,
        tag="",
        seed=0,
        iterations=None,
        device="cpu",
        precision="auto",
        settings=(),
    )
    loop, folder, _ = prepare(request, workspace, go_on=False, init_from=None)
    loop.trainer.network.train()
    return loop, folder


def time_updates(loops: dict[str, Loop], *, rounds: int) -> dict[str, Any]:
    """Seconds of an update of every trainer, one after the other on the same batch, in an order that rotates."""
    names = list(loops)
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    for number in range(WARM_UP + rounds):
        batch = next(iter(loops.values())).training.batch(number)
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            began, cpu_began = time.perf_counter(), time.process_time()
            loops[name].step(batch)
            loops[name].update += 1
            if number >= WARM_UP:
                wall[name].append(time.perf_counter() - began)
                cpu[name].append(time.process_time() - cpu_began)
    return {"seconds": medians(wall), "cpu_seconds": medians(cpu), "rounds": rounds}


def count_memory(loops: dict[str, Loop]) -> dict[str, dict[str, int]]:
    """Most bytes of tensors alive at once in an update: on the CPU as here, and on a GPU as counted without one."""
    batch = next(iter(loops.values())).training.batch(0)
    counted = {name: trace(loop.trainer, batch, block=CPU_BLOCK).peak for name, loop in loops.items()}
    cuda = {
        name: trainer_class(name).training_memory(loop.trainer.plan, CONFIGURATION, loop.trainer.dataset).peak
        for name, loop in loops.items()
    }
    return {"bytes": counted, "cuda_bytes": cuda}


def save_model(loop: Loop, folder: Path) -> Path:
    """Write the weights as those of a finished training; the model folder."""
    save_checkpoint(folder / LAST, loop.trainer, loop.record.trainer, update=loop.update)
    loop.record.model_copy(update={"finished": True, "iterations_done": loop.update}).save(folder / RECORD)
    assert folder == fold_folder(folder.parent, loop.record.fold)
    return folder.parent


def copy_images(dataset: Path, folder: Path, cases: int) -> Path:
    """A folder with the images of the first cases."""
    raw = RawDataset(dataset)
    folder.mkdir()
    for case in raw.cases[:cases]:
        for path in raw.images(case):
            shutil.copy(path, folder / path.name)
    return folder


def time_predictions(models: dict[str, Path], images: Path, folder: Path, *, times: int) -> dict[str, Any]:
    """Wall seconds of `predict` with its defaults, by trainer, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for number in range(times):
        for name, model in models.items():
            out = folder / f"{name}-{number}"
            seconds[name].append(autodiffseg(["predict", "-i", str(images), "-o", str(out), "--model", str(model)]))
    return {"seconds": medians(seconds)}


def ratios(training: dict[str, Any], memory: dict[str, Any], prediction: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is wanted of recycling, and whether it is so."""
    update, most, folder = training["seconds"], memory["bytes"], prediction["seconds"]
    wanted = {
        "recycling update / diffusion update": (update["recycling"] / update["diffusion"], 1.40),
        "recycling update / supervised update": (update["recycling"] / update["supervised"], 1.50),
        "recycling peak memory / diffusion peak memory": (most["recycling"] / most["diffusion"], 1.02),
        "recycling predict / supervised predict": (folder["recycling"] / folder["supervised"], 5.2),
    }
    return {
        name: {"value": round(value, 3), "at_most": limit, "met": value <= limit}
        for name, (value, limit) in wanted.items()
    }


def medians(values: dict[str, list[float]]) -> dict[str, float]:
    """Of every list."""
    return {name: round(median(found), 4) for name, found in values.items()}


def autodiffseg(arguments: list[str]) -> float:
    """Run one command line; its wall time in seconds, the start of Python included."""
    print("$ autodiffseg", shlex.join(arguments), file=sys.stderr, flush=True)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "autodiffseg", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
