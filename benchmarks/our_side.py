"""autodiffseg's preprocessing, timed: run by `preprocessing_vs_nnunet.py`.

Command: `python our_side.py RAW_DATASET PLAN_FILE CONFIGURATION OUT PROCESSES`. PROCESSES 0 does every case in this
process, twice, and times the second time: no start-up is in it then. Its last line is JSON: `run_seconds`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from aside import set_aside


def main() -> None:
    """Preprocess and print the seconds. Imports stand here so that worker processes import what they need alone."""
    from autodiffseg.dataset import RawDataset
    from autodiffseg.plans import Plan
    from autodiffseg.preprocessing.run import preprocess_dataset

    raw, plan, configuration, out, processes = sys.argv[1:]
    for _ in range(1 if int(processes) else 2):
        set_aside(Path(out))
        start = time.perf_counter()
        dataset, chosen = RawDataset(Path(raw)), Plan.load(Path(plan))
        preprocess_dataset(dataset, chosen, configuration, Path(out), processes=max(1, int(processes)), tell=print)
    print(json.dumps({"run_seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
