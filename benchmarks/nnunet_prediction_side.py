"""nnU-Net's own planning and prediction: run by `prediction_vs_nnunet.py` in an environment that has nnunetv2.

Commands, with the folders of nnU-Net in its three environment variables:
- `python nnunet_prediction_side.py plan DATASET_ID`: fingerprint and plan, as nnU-Net makes them.
- `python nnunet_prediction_side.py predict DATASET CONFIGURATION WEIGHTS OUT THREADS [--no-mirroring]`: makes the
  network, writes its random weights to WEIGHTS (npz, in the order in which they are used), says `ready`, and predicts
  each case that comes as a line of JSON (`case`, `files`); see `answering.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from answering import answer_cases
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments
from nnunetv2.inference.export_prediction import export_prediction_from_logits
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn


def plan(dataset_id: int) -> None:
    """Fingerprint and plan of a raw dataset."""
    extract_fingerprints([dataset_id], num_processes=1, show_progress_bar=False)
    plan_experiments([dataset_id])


def predict(dataset: str, configuration: str, weights: Path, out: Path, threads: int, *, mirroring: bool) -> None:
    """Predict cases as `predict_from_files_sequential` does, by the same three calls."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    folder = Path(nnUNet_preprocessed) / dataset
    plans = PlansManager(str(folder / "nnUNetPlans.json"))
    settings = plans.get_configuration(configuration)
    description = json.loads((folder / "dataset.json").read_text())
    channels = determine_num_input_channels(plans, settings, description)
    heads = plans.get_label_manager(description).num_segmentation_heads
    network = nnUNetTrainer.build_network_architecture(plans, settings, channels, heads, enable_deep_supervision=False)
    with torch.no_grad():
        for parameter in network.parameters():  # biases and norms are no zeros and ones after training either
            parameter.add_(0.05 * torch.randn_like(parameter))
    np.savez(weights, *[parameter.detach().numpy() for parameter in in_order(network)])
    predictor = nnUNetPredictor(use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False)
    axes = tuple(range(len(settings.patch_size)))
    predictor.manual_initialization(
        network, plans, settings, [network.state_dict()], description, "nnUNetTrainer", axes
    )
    preprocessor = settings.preprocessor_class(verbose=False)

    def one(case: str, files: list[str]) -> None:
        data, _, properties = preprocessor.run_case(files, None, plans, settings, description)
        logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data)).cpu()
        export_prediction_from_logits(logits, properties, settings, plans, description, str(out / case), False)

    out.mkdir(parents=True, exist_ok=True)
    answer_cases(one)


def in_order(network: nn.Module) -> list[nn.Parameter]:
    """Every parameter once, in the order in which the network uses them.

    Not the biases of convolutions before a norm: it takes them away again, and autodiffseg's networks have none.
    """
    decoder = network.decoder
    parts: list[nn.Module] = [*network.encoder.stages]
    for up, stage in zip(decoder.transpconvs, decoder.stages, strict=True):
        parts += [up, stage]
    parts.append(decoder.seg_layers[-1])
    named = [pair for part in parts for pair in part.named_parameters()]  # each once a part, under its first name
    return [parameter for name, parameter in named if not name.endswith("conv.bias")]


if __name__ == "__main__":
    if sys.argv[1] == "plan":
        plan(int(sys.argv[2]))
    else:
        name, chosen, weights_file, out_folder, count, *more = sys.argv[2:]
        predict(name, chosen, Path(weights_file), Path(out_folder), int(count), mirroring="--no-mirroring" not in more)
