"""nnU-Net's own preprocessing, timed: run by `preprocessing_vs_nnunet.py` in an environment that has nnunetv2.

Command: `python nnunet_side.py DATASET CONFIGURATION PROCESSES`, with the folders of nnU-Net in its three environment
variables. PROCESSES 0 does every case in this process, twice, and times the second time: no start-up is in it then.
Its last line is JSON: `run_seconds`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from aside import set_aside
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

PLANS = "nnUNetPlans"


def run_here(dataset: str, configuration: str) -> float:
    """Every case by `run_case_save`, the method that nnU-Net's worker processes call; returns when it began."""
    folder = Path(nnUNet_preprocessed) / dataset
    plans = PlansManager(str(folder / f"{PLANS}.json"))
    settings = plans.get_configuration(configuration)
    description = json.loads((folder / "dataset.json").read_text())
    out = folder / settings.data_identifier
    set_aside(out)
    out.mkdir()
    start = time.perf_counter()
    preprocessor = DefaultPreprocessor(verbose=False)
    files = get_filenames_of_train_images_and_targets(str(Path(nnUNet_raw) / dataset), description)
    for case, of in files.items():
        preprocessor.run_case_save(str(out / case), of["images"], of["label"], plans, settings, description)
    return start


def main() -> None:
    """Preprocess and print the seconds."""
    dataset, configuration, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if processes:
        start = time.perf_counter()
        DefaultPreprocessor(verbose=False).run(dataset, configuration, PLANS, num_processes=processes)
    else:
        run_here(dataset, configuration)
        start = run_here(dataset, configuration)
    print(json.dumps({"run_seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
