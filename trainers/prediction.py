"""From images to label files: what `predict` and `validate` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from autodiffseg.atomic import atomic_path
from autodiffseg.diffusion.respacing import respaced_steps
from autodiffseg.errors import UserError
from autodiffseg.images import read_case, write_image
from autodiffseg.inference.export import restore_label, restore_probabilities
from autodiffseg.inference.predictor import CasePredictor, PatchModel
from autodiffseg.labels import LabelSpec
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseProperties, CaseStore
from autodiffseg.preprocessing.preprocessor import preprocess_case
from autodiffseg.sampling import Sampling


def choose_sampling(plan: Plan, steps: int | None = None, sampler: str | None = None) -> Sampling:
    """The sampling that is asked for; what is None is the plan's.

    Raises:
        UserError: when there is no such sampler, or the plan's schedule cannot be walked in so many steps.
    """
    name = sampler or plan.diffusion.sampler
    if name not in ("ddpm", "ddim"):
        raise UserError(f"--sampler {name}: ddpm and ddim are possible.")
    count = steps or plan.diffusion.sampling_steps
    respaced_steps(plan.diffusion.base_steps, count, plan.diffusion.respacing)
    return Sampling.model_validate({"steps": count, "sampler": name})


def make_predictor(
    models: Sequence[PatchModel],
    plan: Plan,
    configuration: str,
    spec: LabelSpec,
    *,
    device: torch.device,
    sampling: Sampling | None = None,
    seed: int = 0,
    step_size: float = 0.5,
    mirroring: bool = True,
) -> CasePredictor:
    """The predictor of trainers of one plan and configuration; without `sampling` the plan's is used."""
    return CasePredictor(
        models,
        plan.configuration(configuration),
        channels=spec.channels,
        device=device,
        sampling=sampling or choose_sampling(plan),
        seed=seed,
        step_size=step_size,
        mirroring=mirroring,
    )


def predict_preprocessed(
    predictor: CasePredictor, store: CaseStore, case: str, plan: Plan, spec: LabelSpec, out_file: Path
) -> None:
    """Predict a stored case and write its label map on the raw grid.

    Raises:
        UserError: when the case is not there, the output is not finite or the file cannot be written.
    """
    image = np.asarray(store.image(case)[:])
    predict_image(predictor, image, store.properties(case), plan, spec, out_file)


def predict_image(
    predictor: CasePredictor,
    image: npt.NDArray[np.float32],
    properties: CaseProperties,
    plan: Plan,
    spec: LabelSpec,
    out_file: Path,
    *,
    probabilities_file: Path | None = None,
) -> None:
    """Predict a preprocessed image and write its label map on the raw grid.

    Args:
        predictor: of models of this plan.
        image: `(C, Z, Y, X)`, preprocessed.
        properties: of the preprocessed case; they say where the raw grid lies.
        plan: its axis order.
        spec: what the channels mean.
        out_file: label map, uint8; its ending chooses the format.
        probabilities_file: if given, an .npz whose `probabilities` is `(K, Z, Y, X)` float16 on the raw grid.

    Raises:
        UserError: when the output is not finite or a file cannot be written.
    """
    probabilities = predictor.predict(image, properties.case)
    # The label map comes last: where it is, the case is done.
    if probabilities_file is not None:
        restored = restore_probabilities(probabilities, properties, plan, spec)
        with atomic_path(probabilities_file) as temporary:
            np.savez_compressed(temporary, probabilities=restored)
    write_image(out_file, restore_label(probabilities, properties, plan, spec), properties.geometry)


def predict_cases(
    predictor: CasePredictor,
    cases: dict[str, tuple[Path, ...]],
    out: Path,
    *,
    plan: Plan,
    configuration: str,
    spec: LabelSpec,
    ending: str,
    save_probabilities: bool = False,
) -> Iterator[tuple[str, str | None]]:
    """Predict raw cases one by one.

    Args:
        predictor: of models of this plan and configuration.
        cases: case -> image files in channel order.
        out: where `CASE.ext` goes, and `CASE.npz` with `save_probabilities`.
        plan: how to preprocess.
        configuration: name of the configuration.
        spec: what the output channels mean.
        ending: of the label files, such as ".nii.gz".
        save_probabilities: write the probabilities too.

    Yields:
        Each case with None, or with what is wrong with it; a bad case does not stop the others.
    """
    for case, files in cases.items():
        try:
            image, geometry = read_case(files)
            if not np.isfinite(image).all():
                raise UserError(f"{files[0]} holds NaN or infinite values.")
            prepared = preprocess_case(image, geometry, case=case, plan=plan, configuration=configuration, spec=spec)
            del image
            predict_image(
                predictor,
                prepared.image,
                prepared.properties,
                plan,
                spec,
                out / f"{case}{ending}",
                probabilities_file=out / f"{case}.npz" if save_probabilities else None,
            )
        except UserError as error:
            yield case, str(error)
        else:
            yield case, None
