"""From images to label files: what `predict` and `validate` share."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import numpy.typing as npt
import torch

from autodiffseg.diffusion.respacing import respaced_steps
from autodiffseg.errors import UserError
from autodiffseg.images import read_case, read_geometry, write_image
from autodiffseg.inference.export import restore_label
from autodiffseg.inference.predictor import CasePredictor, PatchModel
from autodiffseg.labels import LabelSpec
from autodiffseg.nifti import count_nonfinite, written_spacing
from autodiffseg.plans import Plan
from autodiffseg.preprocessing.case_store import CaseStore
from autodiffseg.preprocessing.preprocessor import preprocess_case
from autodiffseg.preprocessing.previous_stage import PreviousStageStore, onto_preprocessed_grid
from autodiffseg.sampling import Sampling, Variance
from autodiffseg.text_headers import require_undamaged

from .prediction_options import PredictionOptions
from .prediction_outputs import PredictionOutputs

if TYPE_CHECKING:
    from .previous_stage import PreviousStage

OUT_OF_MEMORY = (
    "there is not enough memory for it; end other programs, leave out --save-probabilities and --save-steps, "
    "or use --device cpu or a machine with more memory"
)


def choose_sampling(
    plan: Plan,
    steps: int | None = None,
    sampler: str | None = None,
    eta: float | None = None,
    variance: str | None = None,
) -> Sampling:
    """The sampling that is asked for; what is None is the plan's.

    Raises:
        UserError: when there is no such sampler or variance, eta is outside [0, 1], either is meant for the other
            sampler, or the plan's schedule cannot be walked in so many steps.
    """
    name = sampler or plan.diffusion.sampler
    if name not in ("ddpm", "ddim"):
        raise UserError(f"--sampler {name}: ddpm and ddim are possible.")
    if eta is not None and not 0 <= eta <= 1:
        raise UserError(f"--eta {eta:g}: DDIM's share of fresh noise is from 0 to 1.")
    if variance is not None and variance not in get_args(Variance):
        raise UserError(f"--variance {variance}: {' and '.join(get_args(Variance))} are possible.")
    if eta is not None and name != "ddim":
        raise UserError("--eta is for DDIM; ask for --sampler ddim with it, or leave it out.")
    if variance is not None and name != "ddpm":
        raise UserError("--variance is for DDPM; ask for --sampler ddpm with it, or leave it out.")
    count = plan.diffusion.sampling_steps if steps is None else steps
    respaced_steps(plan.diffusion.base_steps, count, plan.diffusion.respacing)
    chosen: dict[str, object] = {"steps": count, "sampler": name}
    if name == "ddim":
        chosen["eta"] = plan.diffusion.eta if eta is None else eta
    else:
        chosen["variance"] = variance or plan.diffusion.variance
    return Sampling.model_validate(chosen)


def make_predictor(
    models: Sequence[PatchModel],
    plan: Plan,
    configuration: str,
    spec: LabelSpec,
    *,
    device: torch.device,
    sampling: Sampling | None = None,
    options: PredictionOptions | None = None,
) -> CasePredictor:
    """The predictor of trainers of one plan and configuration; without `sampling` the plan's is used."""
    options = options or PredictionOptions()
    return CasePredictor(
        models,
        plan.configuration(configuration),
        channels=spec.channels,
        device=device,
        sampling=sampling or choose_sampling(plan),
        seed=options.seed,
        step_size=options.step_size,
        mirroring=options.mirroring,
    )


def predict_preprocessed(
    predictor: CasePredictor,
    store: CaseStore,
    case: str,
    plan: Plan,
    spec: LabelSpec,
    out_file: Path,
    previous: PreviousStageStore | None = None,
) -> None:
    """Predict a stored case and write its label map on the raw grid; a cascade is shown its segmentation in `previous`.

    Raises:
        UserError: when the case is not there, the output is not finite or the file cannot be written.
    """
    image = np.asarray(store.image(case)[:])
    if previous is not None:
        image = with_segmentation(image, previous.segmentation(case)[0], spec)
    properties = store.properties(case)
    write_image(out_file, restore_label(predictor.predict(image, case), properties, plan, spec), properties.geometry)


def with_segmentation(
    image: npt.NDArray[np.float32], segmentation: npt.NDArray[np.integer], spec: LabelSpec
) -> npt.NDArray[np.float32]:
    """What a cascade sees: `(C, Z, Y, X)` and, as further channels, the foreground of a label map `(Z, Y, X)`."""
    channels = spec.foreground_channels(torch.from_numpy(np.asarray(segmentation)))
    return np.concatenate([image, channels.numpy()])


def predict_cases(
    predictor: CasePredictor,
    cases: dict[str, tuple[Path, ...]],
    outputs: PredictionOutputs,
    *,
    plan: Plan,
    configuration: str,
    spec: LabelSpec,
    previous: PreviousStage | None = None,
) -> Iterator[tuple[str, str | None]]:
    """Predict raw cases one by one.

    Args:
        predictor: of models of this plan and configuration.
        cases: case -> image files in channel order.
        outputs: what is written, and where.
        plan: how to preprocess.
        configuration: name of the configuration.
        spec: what the output channels mean.
        previous: of a cascade; it segments each case first.

    Yields:
        Each case with None, or with what is wrong with it; a bad case, or one too large for the memory, does not stop
        the others.
    """
    for case, files in cases.items():
        fault = None
        try:
            image, geometry = read_case(files)
            _require_sound(files, image)
            prepared = preprocess_case(image, geometry, case=case, plan=plan, configuration=configuration, spec=spec)
            shown = prepared.image
            if previous is not None:
                segmentation = previous.segment(image, geometry, case)
                on_grid = onto_preprocessed_grid(segmentation, prepared.properties, plan)
                shown = with_segmentation(shown, on_grid, spec)
            del image
            outputs.predict(predictor, shown, prepared.properties, plan, spec)
        except UserError as error:
            fault = str(error)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            fault = OUT_OF_MEMORY
        if fault == OUT_OF_MEMORY and torch.cuda.is_available():
            torch.cuda.empty_cache()  # after the except block, whose traceback keeps the tensors alive
        yield case, fault


def _require_sound(files: Sequence[Path], image: npt.NDArray[np.float32]) -> None:
    """Refuse what the integrity check refuses in training images: values or voxel sizes that mean nothing.

    The bytes of NIfTI files are asked, since the reader has put 0 and 1 mm in their place.
    """
    for path in files:
        try:
            spacing = written_spacing(path) or read_geometry(path).spacing[::-1]
            broken = count_nonfinite(path)
            require_undamaged(path)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path} is damaged ({error}); copy it again.") from error
        if not all(math.isfinite(step) and step > 0 for step in spacing):
            shown = ", ".join(f"{step:.4g}" for step in spacing)
            raise UserError(f"{path}: the voxel size is ({shown}) mm (x, y, z); write the true one into the file.")
        if broken:
            raise UserError(f"{path} holds {broken} voxels that are NaN or infinite; replace them.")
    if not np.isfinite(image).all():
        raise UserError(f"{' or '.join(map(str, files))} holds NaN or infinite values; replace them.")


def _is_out_of_memory(error: Exception) -> bool:
    # Only on CUDA has torch a class of its own for it; these are its words for CPU and MPS.
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)
