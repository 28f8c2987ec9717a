"""autodiffseg's prediction: run by `prediction_vs_nnunet.py`.

Command: `python our_prediction_side.py NNUNET_PLANS DATASET_JSON CONFIGURATION WEIGHTS OUT THREADS PRECISION
[--no-mirroring]`. It imports the plan, takes the weights that nnU-Net's side wrote, says `ready`, and predicts each
case that comes as a line of JSON (`case`, `files`); see `answering.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from answering import answer_cases
from torch import nn

from autodiffseg.dataset import DatasetJson
from autodiffseg.networks.unet import UNet
from autodiffseg.planners.imported_plan import import_plan
from autodiffseg.trainers.member import Member
from autodiffseg.trainers.precision import Precision
from autodiffseg.trainers.prediction import make_predictor
from autodiffseg.trainers.prediction_cases import predict_cases
from autodiffseg.trainers.prediction_options import PredictionOptions
from autodiffseg.trainers.prediction_outputs import PredictionOutputs
from autodiffseg.trainers.supervised import SupervisedTrainer

CPU = torch.device("cpu")


def main() -> None:
    """Predict cases as the command `predict` does, by the same calls."""
    plans, description, configuration, weights, out, threads, precision, *more = sys.argv[1:]
    torch.set_num_threads(int(threads))
    plan = import_plan(json.loads(Path(plans).read_text()), source=plans).plan
    dataset = DatasetJson.model_validate_json(Path(description).read_text())
    trainer = SupervisedTrainer(
        plan, configuration, dataset, SupervisedTrainer.Options(), device=CPU, precision=cast(Precision, precision)
    )
    trainer.prepare_prediction()
    take_weights(trainer.network, Path(weights))
    options = PredictionOptions(mirroring="--no-mirroring" not in more)
    predictor = make_predictor([trainer], plan, configuration, dataset.spec, device=CPU, options=options)
    member = Member(predictor, plan, configuration, dataset.spec, draws=False)
    outputs = PredictionOutputs(Path(out), dataset.file_ending)
    Path(out).mkdir(parents=True, exist_ok=True)

    def one(case: str, files: list[str]) -> None:
        for _, fault in predict_cases([member], {case: tuple(map(Path, files))}, outputs):
            if fault is not None:
                raise SystemExit(f"{case}: {fault}")

    answer_cases(one)


def take_weights(network: UNet, file: Path) -> None:
    """Give the network the weights of nnU-Net's, which come in the order in which they are used."""
    ours = list(in_order(network))
    with np.load(file) as theirs:
        arrays = [theirs[name] for name in theirs.files]
    if [parameter.shape for parameter in ours] != [array.shape for array in arrays]:
        raise SystemExit("the networks of both tools differ")
    with torch.no_grad():
        for parameter, array in zip(ours, arrays, strict=True):
            parameter.copy_(torch.from_numpy(array))


def in_order(network: UNet) -> Iterator[nn.Parameter]:
    """Every parameter that prediction uses, in the order in which it does."""
    yield from network.encoder.parameters()
    for up, stage in zip(network.upsample, network.decoder, strict=True):
        yield from up.parameters()
        yield from stage.parameters()
    yield from network.heads[-1].parameters()


if __name__ == "__main__":
    main()
