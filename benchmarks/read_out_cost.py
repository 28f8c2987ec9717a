"""What TEDM costs: an update and a prediction in forward passes of the backbone, and the memory of a 3D patch.

Command:
    python benchmarks/read_out_cost.py [--rounds N] [--threads N] [--networks NAME …] [-o FILE]

Needs no data: the weights of the backbone and the images are random. Everything of a network is measured in turns, so
that whatever else the machine does falls on all alike, and medians are compared. Writes
benchmarks/results/read_out_cost.json (or --output) and prints it:

    machine, versions, revision, command, threads, rounds
    networks     {name: patch, batch, features (of the stages), backbone_parameters, timesteps and
                 seconds    medians of `forward` (the backbone's features of a batch, one timestep, no gradient), of an
                            update of `tedm` by the training loop: `voxels` (on sampled ones, its default), `dense` (on
                            all), `stacked` (on all, with the head as the papers write it); and for one patch of
                            `forward_one` and `predict`
                 forwards   an update and a prediction per timestep: seconds / (timesteps · seconds of the forward)}
    memory       {name: {kind of training: most bytes of tensors alive at once in an update on a GPU in fp16, counted
                 without one}} for `tedm` and `ledme`
    limits       {what: {value, at_most, met}}
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from stacked_head import StackedHead
from synthetic import make_batch, make_loop, make_plan, make_trainer

from autodiffseg.atomic import write_json
from autodiffseg.memory.live_tensors import CUDA_BLOCK
from autodiffseg.memory.stand_in import meta_stands_for
from autodiffseg.plans import Plan
from autodiffseg.sampling import Sampling
from autodiffseg.trainers.provenance import git_revision, hardware, versions
from autodiffseg.trainers.training_memory import meta_batch, trace

CPU = torch.device("cpu")
WARM_UP = 1
"""Rounds that do not count."""
RESULT = Path(__file__).parent / "results" / "read_out_cost.json"


NETWORKS = {
    "the TEDM paper's widths, 2D 128²": make_plan(
        dimensions=2, size=128, stages=5, features=64, most_features=512, batch_size=1
    ),
    "default, 2D 128²": make_plan(dimensions=2, size=128, stages=5, features=32, most_features=512, batch_size=2),
    "cpu, 2D 64²": make_plan(dimensions=2, size=64, stages=4, features=16, batch_size=12),
    "cpu, 3D 32³": make_plan(size=32, stages=4, features=16),
}
COUNTED = {"default, 3D 128³": make_plan(size=128, stages=6, features=32)}
"""Networks whose memory is counted alone."""
UPDATE_LIMIT = 1.2
"""Forward passes for each timestep of an update."""
ALL = 10**9
"""More voxels than any patch has."""
MEMORY_LIMIT = 10 * 2**30
"""Bytes of tensors for the 3D patch."""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="Of every kind that count.")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), help="Those that are timed; by default all.")
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    networks = {name: time_network(NETWORKS[name], rounds=arguments.rounds) for name in arguments.networks}
    memory = {name: count_memory(plan) for name, plan in COUNTED.items()}
    content = {
        "machine": hardware(CPU),
        "versions": versions(),
        "revision": git_revision(),
        "command": shlex.join(["python", "benchmarks/read_out_cost.py", *sys.argv[1:]]),
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "networks": networks,
        "memory": memory,
        "limits": limits(networks, memory),
    }
    write_json(arguments.output, content)
    print(json.dumps(content, indent=2, ensure_ascii=False))


def time_network(plan: Plan, *, rounds: int) -> dict[str, Any]:
    """Seconds of every kind of update and of a prediction, and what they are in forward passes."""
    kinds = {"voxels": tedm(plan), "dense": tedm(plan, voxels=ALL), "stacked": stacked(tedm(plan, voxels=ALL))}
    batch, trainer = make_batch(plan, CPU), kinds["voxels"]
    noise = torch.randn_like(batch.image)
    works: dict[str, Callable[[], object]] = {"forward": lambda: trainer.features(batch.image, noise, 0)}
    works |= {kind: update_of(each, plan) for kind, each in kinds.items()}
    seconds = time_in_turns(works, rounds=rounds)
    seconds |= time_prediction(trainer, plan, rounds=rounds)
    timesteps = len(trainer.options.timesteps)
    configuration, backbone = trainer.configuration, trainer.network.backbone
    return {
        "patch": configuration.patch_size,
        "batch": configuration.batch_size,
        "features": configuration.network.features,
        "backbone_parameters": sum(parameter.numel() for parameter in backbone.parameters()),
        "timesteps": timesteps,
        "seconds": seconds,
        "forwards": in_forwards(seconds, timesteps),
    }


def tedm(plan: Plan, **options: object) -> Any:
    """The trainer in fp32, with random weights: they cost as much as pretrained ones."""
    trainer = make_trainer(plan, "tedm", "fp32", CPU, **options)
    trainer.before_training = lambda record: None  # it would read the backbone's file
    return trainer


def stacked(trainer: Any) -> Any:
    """The same trainer with the papers' head."""
    trainer.network.head = StackedHead(trainer.network.head)
    return trainer


def update_of(trainer: Any, plan: Plan) -> Callable[[], object]:
    """One update on a batch that is ready."""
    loop, batch = make_loop(trainer, "tedm", 1000), make_batch(plan, CPU)
    trainer.network.train()

    def step() -> None:
        loop.step(batch)
        loop.update += 1

    return step


def time_prediction(trainer: Any, plan: Plan, *, rounds: int) -> dict[str, float]:
    """Seconds of a forward pass and of the whole prediction of one patch, as `predict` makes them."""
    trainer.prepare_prediction()
    patch = make_batch(plan, CPU).image[:1]
    noise = torch.randn_like(patch)
    works: dict[str, Callable[[], object]] = {
        "forward_one": lambda: trainer.features(patch, noise, 0),
        "predict": lambda: list(trainer.predict_steps(patch, lambda step, channels: noise, Sampling())),
    }
    with torch.inference_mode():
        return time_in_turns(works, rounds=rounds)


def time_in_turns(works: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Median wall seconds of every work, one after the other in an order that rotates."""
    names = list(works)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(WARM_UP + rounds):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            began = time.perf_counter()
            works[name]()
            if number >= WARM_UP:
                found[name].append(time.perf_counter() - began)
    return {name: round(median(seconds), 4) for name, seconds in found.items()}


def in_forwards(seconds: dict[str, float], timesteps: int) -> dict[str, float]:
    """Updates and the prediction, per timestep, as multiples of a forward pass of the same patches."""
    forwards = {kind: seconds[kind] / seconds["forward"] / timesteps for kind in ("voxels", "dense", "stacked")}
    forwards["predict"] = seconds["predict"] / seconds["forward_one"] / timesteps
    return {kind: round(value, 3) for kind, value in forwards.items()}


def count_memory(plan: Plan) -> dict[str, int]:
    """Most bytes of an update on a GPU in fp16."""

    def made(trainer: str, **options: object) -> Any:
        with torch.device("meta"):
            return make_trainer(plan, trainer, "fp16", torch.device("meta"), **options)

    kinds: dict[str, Callable[[], Any]] = {
        "tedm, voxels": lambda: made("tedm"),
        "tedm, dense": lambda: made("tedm", voxels=ALL),
        "tedm, stacked": lambda: _stacked_on_meta(made("tedm", voxels=ALL)),
        "ledme, voxels": lambda: made("ledme"),
        "ledme, dense": lambda: made("ledme", voxels=ALL),
        "ledme, stacked": lambda: _stacked_on_meta(made("ledme", voxels=ALL)),
        "supervised": lambda: made("supervised"),
    }
    found = {}
    for kind, make in kinds.items():
        with meta_stands_for("cuda"):
            trainer = make()
            found[kind] = trace(trainer, meta_batch(trainer), block=CUDA_BLOCK, all_at_once=True).peak
    return found


def _stacked_on_meta(trainer: Any) -> Any:
    with torch.device("meta"):
        return stacked(trainer)


def limits(networks: dict[str, Any], memory: dict[str, dict[str, int]]) -> dict[str, dict[str, Any]]:
    """What is wanted of the read-out, and whether it is so."""
    wanted: dict[str, tuple[float, float]] = {}
    for name, found in networks.items():
        wanted[f"{name}: forwards per timestep of an update, voxels"] = (found["forwards"]["voxels"], UPDATE_LIMIT)
    for name, counted in memory.items():
        wanted[f"{name}: bytes of an update of tedm, voxels"] = (counted["tedm, voxels"], MEMORY_LIMIT)
    return {what: {"value": value, "at_most": most, "met": value <= most} for what, (value, most) in wanted.items()}


if __name__ == "__main__":
    main()
