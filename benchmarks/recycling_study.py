"""The recycling paper's study on real data: train what lacks, measure what has finished, write the report.

Command:
    python benchmarks/recycling_study.py RAW_DATASET --workspace FOLDER [--jobs N] [--threads N] [--only WORD …]
    python benchmarks/recycling_study.py RAW_DATASET --workspace FOLDER --measure-only
    python benchmarks/recycling_study.py --report-only

RAW_DATASET is Dataset004_Hippocampus (all runs, about eight hours on two cores) or Dataset110_JSRT (the six trainers
once, two of them twice). `study_runs.py` lists the runs. Everything that has been done is skipped: a training goes on
from its checkpoint, a run whose rows lie in benchmarks/results/recycling_study/ is not even looked for in the
workspace. Written there, for every run:

    DATASET/RUN.json   {purpose, run: run.json without its cases, measured_on, measured: {part: {revision, samples}}}
    DATASET/RUN.csv    sampler, steps, mirroring, case, sample, step, Dice and HD95 [mm] of every class
    DATASET/pair__…    the same of two runs whose probabilities were averaged

and benchmarks/results/recycling_study.md with its pictures.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from study_measure import is_finished, measure, row_files, wanted
from study_pairs import measure_pair, pairs
from study_report import write_report
from study_runs import STUDIES, WITH_TRANSFORMER, Run, Study
from study_scores import read_parts

from autodiffseg.plans import Plan
from autodiffseg.workspace import Workspace

RESULTS = Path(__file__).parent / "results" / "recycling_study"


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--workspace", type=Path, default=Path("autodiffseg_workspace"))
    parser.add_argument("--jobs", type=int, default=1, help="Trainings at a time.")
    parser.add_argument("--threads", type=int, default=None, help="Of each training. Default: all cores, shared.")
    parser.add_argument(
        "--python",
        type=Path,
        default=Path(sys.executable),
        help="Of an environment to train in: a training is gone on with by the version that it was begun with.",
    )
    parser.add_argument("--only", action="append", default=[], help="Runs whose name has this in it; may be repeated.")
    parser.add_argument("--measure-only", action="store_true", help="Train nothing; measure what has finished.")
    parser.add_argument("--report-only", action="store_true", help="Write the report from the rows that are there.")
    arguments = parser.parse_args()
    if not arguments.report_only:
        if arguments.dataset is None or arguments.dataset.resolve().name not in STUDIES:
            parser.error(f"name the folder of a raw dataset that is called {' or '.join(STUDIES)}")
        study, workspace = STUDIES[arguments.dataset.resolve().name], Workspace(arguments.workspace)
        runs = [run for run in study.runs if not arguments.only or any(w in study.name(run) for w in arguments.only)]
        if not arguments.measure_only:
            prepare(study, arguments.dataset, workspace)
            threads = arguments.threads or max(1, (os.cpu_count() or 1) // arguments.jobs)
            train(study, runs, workspace, jobs=arguments.jobs, threads=threads, python=arguments.python)
        measure_finished(study, runs, workspace)
    print(f"Written: {write_report(RESULTS)}")


def prepare(study: Study, dataset: Path, workspace: Workspace) -> None:
    """Plan and preprocess, which skips what is there, and edit a plan for the ablation of the transformer."""
    planning = ["plan-and-preprocess", str(dataset), "-c", study.configuration, "--preset", "cpu"]
    if autodiffseg([*planning, "--workspace", str(workspace.root)], os.environ.copy(), Path(sys.executable)):
        raise SystemExit(1)
    if any(run.plan == WITH_TRANSFORMER for run in study.runs):
        with_transformer(study, workspace)


def with_transformer(study: Study, workspace: Workspace) -> Path:
    """The plan `cpu` with one transformer layer at the bottom, as an edited copy; its file."""
    path = workspace.plan_path(study.dataset, WITH_TRANSFORMER)
    if not path.is_file():
        plan = Plan.load(workspace.plan_path(study.dataset, "cpu"))
        chosen = plan.configurations[study.configuration]
        network = chosen.network.model_copy(update={"transformer_layers": 1})
        edited = {**plan.configurations, study.configuration: chosen.model_copy(update={"network": network})}
        plan.model_copy(update={"name": WITH_TRANSFORMER, "configurations": edited}).save(path)
    return path


def train(study: Study, runs: list[Run], workspace: Workspace, *, jobs: int, threads: int, python: Path) -> None:
    """Train what has neither rows nor a finished training, in the order of the list; one that fails stops no other."""
    lacking = [run for run in runs if not is_measured(study, run) and not is_finished(study.folder(run, workspace))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}

    def one(run: Run) -> int:
        return autodiffseg(study.command(run, workspace.root), environment, python)

    with ThreadPoolExecutor(jobs) as pool:
        for run, status in zip(lacking, pool.map(one, lacking), strict=True):
            if status:
                tell(f"{study.name(run)}: exit status {status}, so it is missing")
            measure_finished(study, runs, workspace)


def measure_finished(study: Study, runs: list[Run], workspace: Workspace) -> None:
    """Measure finished runs, and pairs of such."""
    finished = [run for run in runs if is_finished(study.folder(run, workspace))]
    for run in finished:
        measure(study, run, workspace, RESULTS, tell=tell)
    for pair in pairs(study):
        if all(run in finished for run in pair):
            measure_pair(study, pair, workspace, RESULTS, tell=tell)


def is_measured(study: Study, run: Run) -> bool:
    """Whether all rows of a run are there."""
    known = read_parts(row_files(study, study.name(run), RESULTS)[1])
    return all(one.part in known for one in wanted(run))


def autodiffseg(arguments: list[str], environment: dict[str, str], python: Path) -> int:
    """Run one command line; its exit status."""
    tell(f"$ autodiffseg {shlex.join(arguments)}")
    return subprocess.run([str(python), "-m", "autodiffseg", *arguments], check=False, env=environment).returncode


def tell(line: str) -> None:
    """Say what is being done."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
