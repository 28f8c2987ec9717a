"""Does everything work on this GPU, how fast and in how much memory? Prints one JSON object; see README.md here."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plain_unet import PlainUNet
from synthetic import CONFIGURATION, DATASET, make_batch, make_loop, make_plan, make_trainer
from torch import Tensor

from autodiffseg import __version__, registry
from autodiffseg.inference.predictor import CasePredictor
from autodiffseg.losses.segmentation import segmentation_loss
from autodiffseg.memory.calibration import predicted_bytes
from autodiffseg.plans import Plan
from autodiffseg.sampling import Sampling

ROOT = Path(__file__).parents[1]
TRAINERS = ("supervised", "diffusion", "recycling")
UPDATES = 100
TIMED_SECONDS = 15.0
"""A slow GPU makes fewer updates in the speed test, so that the whole check stays under eight minutes."""


def main() -> None:
    """Run every part and print the findings."""
    arguments = _arguments()
    device, quick = torch.device(arguments.device), arguments.quick
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu_check needs a CUDA device and finds none; `--device cpu --quick` tries the script itself.")
    began = time.monotonic()
    precisions = choose_precisions(device)
    small = make_plan(size=16, stages=3, features=4) if quick else make_plan(size=64, stages=5, features=32)
    large = small if quick else make_plan(size=128, stages=6, features=32)  # as nnU-Net plans for 8 GB

    findings: dict[str, Any] = {"machine": machine(device)}
    findings["tests"] = None if quick else run_gpu_tests()
    findings["training"] = [
        train(small, name, precision, device, updates=8 if quick else UPDATES)
        for name in TRAINERS
        for precision in precisions
    ]
    findings["speed"] = measure_speed(large, precisions[0], device, most=2 if quick else 50)
    findings["memory"] = [compare_memory(large, name, precisions[0], device) for name in TRAINERS]
    findings["prediction"] = predict_case(
        large, precisions[0], device, shape=(16, 24, 16) if quick else (160, 192, 160)
    )
    findings["seconds"] = round(time.monotonic() - began, 1)
    tests_passed = findings["tests"] is None or have_passed(findings["tests"], device)
    sound = all(run["finite"] and run["falls"] for run in findings["training"]) and findings["prediction"]["finite"]
    findings["passed"] = bool(sound and tests_passed)
    sys.stdout.write(json.dumps(findings, indent=2) + "\n")
    sys.exit(0 if findings["passed"] else 1)


def choose_precisions(device: torch.device) -> tuple[str, ...]:
    """Both half precisions, where the device computes them."""
    if device.type != "cuda":
        return ("bf16",)
    return ("bf16", "fp16") if torch.cuda.is_bf16_supported(including_emulation=False) else ("fp16",)


def machine(device: torch.device) -> dict[str, Any]:
    """What this ran on."""
    found: dict[str, Any] = {
        "autodiffseg": __version__,
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "device": str(device),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "gpu": properties.name,
            "memory_gb": round(properties.total_memory / 1e9, 1),
            "compute_capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def run_gpu_tests() -> dict[str, Any]:
    """The tests marked `gpu`, in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return count_tests(done)


def count_tests(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a finished pytest tells; one that could not run its tests, or found none, counts as a failure."""
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout)}
    failed = counts.get("failed", 0) + counts.get("error", 0)
    failures = re.findall(r"^(?:FAILED|ERROR) (.*)$", done.stdout, flags=re.MULTILINE)
    if not failed and (done.returncode != 0 or not counts):
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        failed, failures = 1, [f"pytest left with {done.returncode}: {said}"]
    return {
        "passed": counts.get("passed", 0),
        "failed": failed,
        "skipped": counts.get("skipped", 0),
        "failures": failures,
    }


def have_passed(tests: dict[str, Any], device: torch.device) -> bool:
    """None failed; and on a GPU, where none may be skipped for want of one, at least one passed."""
    return tests["failed"] == 0 and (device.type != "cuda" or tests["passed"] > 0)


def train(plan: Plan, name: str, precision: str, device: torch.device, *, updates: int) -> dict[str, Any]:
    """Updates on one and the same batch: the loss must stay finite and fall."""
    step = trainer_step(plan, name, precision, device, iterations=updates)
    losses = torch.stack([step().detach() for _ in range(updates)]).float().cpu()
    first, last = losses[: updates // 4].mean(), losses[-(updates // 4) :].mean()
    return {
        "trainer": name,
        "precision": precision,
        "patch": plan.configuration(CONFIGURATION).patch_size,
        "updates": updates,
        "first_loss": round(float(first), 4),
        "last_loss": round(float(last), 4),
        "finite": bool(losses.isfinite().all()),
        "falls": bool(last < first),
    }


def measure_speed(plan: Plan, precision: str, device: torch.device, *, most: int) -> dict[str, Any]:
    """Updates per second and peak memory of every trainer and of the plain U-Net, at the same patch and batch."""
    rows = [speed_of(plan, name, precision, device, most=most) for name in ("plain_unet", *TRAINERS)]
    plain = rows[0]["updates_per_second"]
    for row in rows:
        known = plain is not None and row["updates_per_second"] is not None
        row["of_plain_unet"] = round(row["updates_per_second"] / plain, 3) if known else None
    configuration = plan.configuration(CONFIGURATION)
    return {
        "patch": configuration.patch_size,
        "batch": configuration.batch_size,
        "precision": precision,
        "rows": rows,
    }


def speed_of(plan: Plan, name: str, precision: str, device: torch.device, *, most: int) -> dict[str, Any]:
    """One row of the speed table; nulls when the memory does not suffice."""
    row: dict[str, Any] = {"network": name, "updates": None, "updates_per_second": None, "peak_gb": None}
    try:
        with peak_memory(device) as peak_gb:
            if name == "plain_unet":
                step = plain_step(plan, precision, device)
            else:
                step = trainer_step(plan, name, precision, device, iterations=2 * most)
            for _ in range(3):  # kernels are chosen and memory is reserved in the first ones
                step()
            updates = max(2, min(most, int(TIMED_SECONDS / timed(step, device))))
            seconds = timed(lambda: [step() for _ in range(updates)], device)
    except torch.OutOfMemoryError:
        return row
    return row | {"updates": updates, "updates_per_second": round(updates / seconds, 3), "peak_gb": peak_gb()}


def compare_memory(plan: Plan, name: str, precision: str, device: torch.device) -> dict[str, Any]:
    """What was counted for a trainer without a GPU beside what the GPU says; nulls where it says nothing."""
    trainer_class = registry.load(registry.TRAINERS, name)
    counted = trainer_class.training_memory(plan, CONFIGURATION, DATASET, precision=precision).peak
    row: dict[str, Any] = {
        "trainer": name,
        "precision": precision,
        "counted_gb": round(counted / 1e9, 3),
        "predicted_gb": round(predicted_bytes(counted) / 1e9, 2),
        "allocated_gb": None,
        "counted_of_allocated": None,
        "reserved_gb": None,
    }
    if device.type != "cuda":
        return row
    try:
        allocated, reserved = cuda_peaks(trainer_step(plan, name, precision, device, iterations=10), device)
    except torch.OutOfMemoryError:
        return row
    return row | {
        "allocated_gb": round(allocated / 1e9, 3),
        "counted_of_allocated": round(counted / allocated, 3),
        "reserved_gb": round(reserved / 1e9, 2),
    }


def cuda_peaks(step: Callable[[], object], device: torch.device) -> tuple[int, int]:
    """Most bytes of tensors during a third step, and most that the allocator had taken by then."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    for _ in range(2):  # kernels are chosen, the optimiser's state is made
        step()
    reserved = torch.cuda.max_memory_reserved(device)
    torch.cuda.reset_peak_memory_stats(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device), max(reserved, torch.cuda.max_memory_reserved(device))


def predict_case(plan: Plan, precision: str, device: torch.device, *, shape: tuple[int, int, int]) -> dict[str, Any]:
    """One case with recycling's five steps, mirrored over three axes."""
    trainer = make_trainer(plan, "recycling", precision, device)
    trainer.network.eval()
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    sampling = Sampling(steps=5)
    answers: list[Any] = []
    with peak_memory(device) as peak_gb:
        predictor = CasePredictor(
            [trainer],
            plan.configuration(CONFIGURATION),
            channels=DATASET.spec.channels,
            device=device,
            sampling=sampling,
        )
        seconds = timed(lambda: answers.append(predictor.predict(image, "case")), device)
    return {
        "trainer": "recycling",
        "steps": sampling.steps,
        "shape": shape,
        "precision": precision,
        "seconds": round(seconds, 2),
        "peak_gb": peak_gb(),
        "finite": bool(np.isfinite(answers[0]).all()),
    }


def trainer_step(
    plan: Plan, name: str, precision: str, device: torch.device, *, iterations: int
) -> Callable[[], Tensor]:
    """One update of a trainer, by the training loop's own step."""
    trainer, batch = make_trainer(plan, name, precision, device), make_batch(plan, device)
    loop = make_loop(trainer, name, iterations)
    trainer.network.train()

    def step() -> Tensor:
        loss: Tensor = loop.step(batch)[0].total
        loop.update += 1
        return loss

    return step


def plain_step(plan: Plan, precision: str, device: torch.device) -> Callable[[], Tensor]:
    """One update as nnU-Net makes it: SGD with Nesterov momentum, Dice and cross-entropy at every resolution."""
    torch.manual_seed(0)
    batch = make_batch(plan, device)
    network = PlainUNet(plan.configuration(CONFIGURATION).network, 1, DATASET.spec.channels).to(device).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]

    def step() -> Tensor:
        target, known = DATASET.spec.one_hot(batch.label)
        with torch.autocast(device.type, dtype=kind):
            logits = network(batch.image)
        loss = segmentation_loss(logits, target, known, regions=False, batch_dice=False).total
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch's own
        scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 12.0)
        scaler.step(optimiser)
        scaler.update()
        return loss

    return step


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of `work`, until the device has done it all."""
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda _: None
    synchronise(device)
    began = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - began


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Callable[[], float | None]]:
    """The most memory that tensors take in the block, in GB (1e9 bytes), to be asked for after it; None on a CPU."""
    found: list[float] = []
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    yield lambda: found[0] if found else None
    if device.type == "cuda":
        found.append(round(torch.cuda.max_memory_allocated(device) / 1e9, 2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu with --quick")
    parser.add_argument("--quick", action="store_true", help="a toy network and few updates: tries the script itself")
    return parser.parse_args()


if __name__ == "__main__":
    main()
