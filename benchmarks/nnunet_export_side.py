"""nnU-Net's own export of one case, measured: run by `export_memory.py` in an environment that has nnunetv2.

Command: `python nnunet_export_side.py SETTING.json`. Its last line is JSON: `before_bytes`, `added_bytes`,
`cpu_seconds`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.inference.export_prediction import export_prediction_from_logits
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from peak_memory import cost_of


def main() -> None:
    """Export and print."""
    setting = json.loads(Path(sys.argv[1]).read_text())
    plans = PlansManager(setting["plans"])
    configuration = plans.get_configuration(setting["configuration"])
    logits = np.load(setting["logits"])

    def export(array: np.ndarray, shape: list[int], target: str) -> None:
        export_prediction_from_logits(
            array,
            properties(setting["geometry"], shape),
            configuration,
            plans,
            setting["dataset"],
            target,
            save_probabilities=setting["probabilities"],
            num_threads_torch=1,
        )

    export(np.ascontiguousarray(logits[:, :8, :8, :8]), [10] * 3, setting["out"] + "_warm")  # late imports are done now
    shape = setting["geometry"]["shape"]
    print(json.dumps(cost_of(lambda: export(logits, shape, setting["out"]))._asdict()))


def properties(geometry: dict[str, Any], shape: list[int]) -> dict[str, Any]:
    """What nnU-Net's preprocessing says of an image of `shape` without an empty border."""
    return {
        "spacing": geometry["spacing"],
        "shape_before_cropping": shape,
        "shape_after_cropping_and_before_resampling": shape,
        "bbox_used_for_cropping": [[0, length] for length in shape],
        "sitk_stuff": {
            "spacing": geometry["spacing"][::-1],
            "origin": geometry["origin"],
            "direction": geometry["direction"],
        },
    }


if __name__ == "__main__":
    main()
