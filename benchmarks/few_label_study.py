"""The TEDM paper's study on real data: pretrain, train what lacks, measure what has finished, write the report.

Command:
    python benchmarks/few_label_study.py DATA --workspace FOLDER [--jobs N] [--threads N] [--only WORD …]
    python benchmarks/few_label_study.py --report-only

DATA is the folder that holds Dataset110_JSRT (labelled), Dataset112_CXRunlabelled (the pool) and Dataset111_CovidCXR
(the shifted set). `few_rows.py` lists the rows. Everything that has been done is skipped: a training goes on from its
checkpoint, a row whose file lies in benchmarks/results/few_label_study/ is not even looked for in the workspace.
Written there:

    study.json   the pretraining, its pool, what of the shifted set is in it, the patients of the shifted set
    ROW.json     {method, purpose, passes, prediction_seconds, run: run.json without validation cases and paths,
                  domains: {name: {classes, metrics, cases: {case: [[value of every metric] of every class]}}}}

and benchmarks/results/few_label_study.md with its pictures. `--size 128` is a study of its own, in a folder of that
name. To try it: `--updates 5 --results FOLDER`.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from few_about import shifted_set, write_about
from few_measure import measure
from few_report import write_report
from few_rows import PRETRAINING, Row, Setting, rows
from rich.console import Console
from study_measure import is_finished

from autodiffseg.errors import UserError
from autodiffseg.runs import RECORD, RunRecord
from autodiffseg.workspace import Workspace

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--workspace", type=Path, default=Path("autodiffseg_workspace"))
    parser.add_argument("--results", type=Path, default=None, help="Folder of the rows. Default: beside this script.")
    parser.add_argument("--size", type=int, default=64, help="Pixels of an image along both axes.")
    parser.add_argument("--jobs", type=int, default=1, help="Trainings at a time.")
    parser.add_argument("--threads", type=int, default=None, help="Of each training. Default: all cores, shared.")
    parser.add_argument(
        "--only", action="append", default=[], help="Rows whose name fits this regular expression; may be repeated."
    )
    parser.add_argument("--updates", type=int, default=None, help="Of every training, to try the study.")
    parser.add_argument("--report-only", action="store_true", help="Write the report from the rows that are there.")
    arguments = parser.parse_args()
    if arguments.updates is not None and arguments.results is None:
        parser.error("--updates is for trying the study; name another folder with --results")
    name = "few_label_study" + (f"_{arguments.size}" if arguments.size != 64 else "")
    setting = Setting(
        data=(arguments.data or Path()).resolve(),
        workspace=Workspace(arguments.workspace.resolve()),
        results=arguments.results or RESULTS / name,
        size=arguments.size,
        updates=arguments.updates,
    )
    if not arguments.report_only:
        if arguments.data is None:
            parser.error("name the folder that holds the raw datasets")
        chosen = [
            row
            for row in rows()
            if not arguments.only or any(re.search(word, setting.name(row)) for word in arguments.only)
        ]
        threads = arguments.threads or max(1, (os.cpu_count() or 1) // arguments.jobs)
        prepare(setting, threads=threads * arguments.jobs)
        train(setting, chosen, jobs=arguments.jobs, threads=threads)
    print(f"Written: {write_report(setting)}")


def prepare(setting: Setting, *, threads: int) -> None:
    """Plan and preprocess, which skips what is there, and pretrain the denoiser to its end."""
    if autodiffseg(setting.planning(), threads):
        raise SystemExit(1)
    record = setting.backbone / RECORD
    if not record.is_file() or not RunRecord.load(record).finished:
        if autodiffseg(setting.pretraining(), threads):
            raise SystemExit(1)
    elif RunRecord.load(record).iterations != (setting.updates or PRETRAINING):
        raise SystemExit(f"{setting.backbone} is a pretraining of another length; name another workspace.")
    write_about(setting)


def train(setting: Setting, chosen: list[Row], *, jobs: int, threads: int) -> None:
    """Train what has neither a file nor a finished training, in order; one that fails stops no other."""
    shifted, console = shifted_set(setting), Console()
    lacking = [row for row in chosen if not setting.file(row).is_file()]

    def one(row: Row) -> int:
        return 0 if is_finished(setting.folder(row)) else autodiffseg(setting.training(row), threads)

    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(one, row): row for row in lacking}
        try:
            for done in as_completed(waiting):
                row = waiting[done]
                if done.result():
                    tell(f"{setting.name(row)}: exit status {done.result()}, so it is missing")
                    continue
                try:
                    measure(setting, row, shifted, console)
                except UserError as error:
                    tell(f"{setting.name(row)} cannot be measured, so it is missing: {error}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # of those that run none is broken off by us
            raise


def autodiffseg(arguments: list[str], threads: int) -> int:
    """Run one command line; its exit status."""
    tell(f"$ autodiffseg {shlex.join(arguments)}")
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.run([sys.executable, "-m", "autodiffseg", *arguments], check=False, env=environment).returncode


def tell(line: str) -> None:
    """Say what is being done."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
