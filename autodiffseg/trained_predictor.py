"""Predictor: trained models for use from Python, on arrays and files; what they answer is what `predict` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, overload

import numpy as np
import numpy.typing as npt

from autodiffseg import registry
from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry

if TYPE_CHECKING:
    from autodiffseg.dataset import DatasetJson

LabelMap = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float16]

UNTURNED = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class Predictor:
    """One trained model or several, loaded once, ready to segment.

    Axes: images are `(C, Z, Y, X)` with the channels in the order of `channels`; label maps are `(Z, Y, X)`; a 2D image
    has Z = 1. Spacing is `(z, y, x)` in mm. This is the order of SimpleITK's `GetArrayFromImage`, and the reverse of
    its `GetSpacing()`; nibabel's arrays are `(X, Y, Z)`.

    Calls must follow each other: a predictor is not for several threads at a time.

    Example:
        >>> from autodiffseg import Predictor
        >>> predictor = Predictor.load("results/Dataset004_Hippocampus/recycling__cpu__3d_fullres")  # doctest: +SKIP
        >>> label = predictor.predict(image, spacing=(1.0, 1.0, 1.0))  # doctest: +SKIP
        >>> label = predictor.predict_file("scan_0000.nii.gz", save_to="label.nii.gz")  # doctest: +SKIP
    """

    def __init__(self, core: PredictorCore) -> None:
        """Use `load`."""
        self._core = core

    @classmethod
    def load(
        cls,
        *models: str | PathLike[str],
        folds: Sequence[int | str] = (),
        checkpoint: Literal["last", "best"] = "last",
        device: str | None = None,
        precision: str = "auto",
        steps: int | None = None,
        sampler: str | None = None,
        eta: float | None = None,
        variance: str | None = None,
        postprocessing: bool | str | PathLike[str] = True,
        **options: Any,
    ) -> Predictor:
        """Load models; every argument means what the option of `autodiffseg predict` means.

        Args:
            models: folders of trained models, those that hold `fold_*`. Probabilities of several are averaged.
            folds: 0, 1, … or "all", of each model; none means all that have finished.
            checkpoint: "best" was chosen on the validation cases.
            device: "cuda", "cuda:1", "cpu" or "mps"; None: CUDA where there is one.
            precision: "auto", "fp32", "bf16" or "fp16".
            steps: sampling steps; None: the plan's.
            sampler: "ddpm" or "ddim"; None: the plan's.
            eta: DDIM's share of fresh noise; None: the plan's.
            variance: DDPM's, "fixed-small" or "fixed-large"; None: the plan's.
            postprocessing: whether the models' postprocessing.json is applied, or the file of another.
            **options: `seed` (0), `samples` (1), `step_size` (0.5, a fraction of the patch), `mode` ("tile"),
                `mirroring` (True), `mirror_axes` (None: the plan's), `rotate_mirrors`, `rotate_timesteps` and
                `deterministic` (False).

        Raises:
            UserError: when something is missing, cannot be read or contradicts the models.
        """
        if not models:
            raise UserError("Predictor.load needs a model: the folder that holds fold_0.")
        make = cast("MakeCore", registry.load(registry.SERVICES, "predictor"))
        core = make(
            tuple(Path(model) for model in models),
            folds=tuple(str(fold) for fold in folds),
            checkpoint=checkpoint,
            device=device,
            precision=precision,
            sampling=(steps, sampler, eta, variance),
            postprocess=postprocessing is not False,
            postprocessing=None if isinstance(postprocessing, bool) else Path(postprocessing),
            options=options,
        )
        return cls(core)

    @property
    def labels(self) -> dict[str, tuple[int, ...]]:
        """Class or region -> the integers that it has in a label map; background is 0."""
        return dict(self._core.dataset.spec.foreground)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels that an image must have, in their order."""
        return self._core.dataset.channels

    @overload
    def predict(
        self,
        image: npt.ArrayLike,
        spacing: Sequence[float],
        *,
        case: str = ...,
        probabilities: Literal[False] = ...,
    ) -> LabelMap: ...

    @overload
    def predict(
        self, image: npt.ArrayLike, spacing: Sequence[float], *, case: str = ..., probabilities: Literal[True]
    ) -> tuple[LabelMap, Probabilities]: ...

    def predict(
        self, image: npt.ArrayLike, spacing: Sequence[float], *, case: str = "case", probabilities: bool = False
    ) -> LabelMap | tuple[LabelMap, Probabilities]:
        """Segment an array.

        Args:
            image: `(C, Z, Y, X)`, any numbers, intensities as in the files that the model was trained on (no
                normalisation, no resampling); it is not changed.
            spacing: mm along (z, y, x).
            case: a name; the noise of a generative model depends on it. With the case's own name the result is that
                of `predict_file` and of the command.
            probabilities: hand these out as well.

        Returns:
            Label map `(Z, Y, X)` uint8 on the grid of the image; with `probabilities` also `(K, Z, Y, X)` float16:
            background and classes, or one channel per region.

        Raises:
            UserError: when the image has other axes or channels, values that are not finite, or no spacing.
        """
        array = np.array(image, dtype=np.float32)  # a copy
        if array.ndim != 4 or array.shape[0] != len(self.channels) or not array.size:
            raise UserError(
                f"The image has shape {array.shape}; (C, Z, Y, X) is needed with C = {len(self.channels)} "
                f"({', '.join(self.channels)}). A single channel is image[None], a slice of 2D has Z = 1."
            )
        steps = tuple(float(step) for step in spacing)
        if len(steps) != 3 or not all(math.isfinite(step) and step > 0 for step in steps):
            raise UserError(f"The spacing is {tuple(spacing)}; three numbers above 0 are needed, mm along (z, y, x).")
        if not np.isfinite(array).all():
            raise UserError("The image holds NaN or infinite values; replace them.")
        z, y, x = array.shape[1:]
        geometry = Geometry(
            shape=(z, y, x), spacing=(steps[0], steps[1], steps[2]), origin=(0.0, 0.0, 0.0), direction=UNTURNED
        )
        label, found = self._core.segment(array, geometry, case, probabilities=probabilities)
        return label if found is None else (label, found)

    @overload
    def predict_file(
        self,
        path: str | PathLike[str],
        *,
        save_to: str | PathLike[str] | None = ...,
        probabilities: Literal[False] = ...,
    ) -> LabelMap: ...

    @overload
    def predict_file(
        self, path: str | PathLike[str], *, save_to: str | PathLike[str] | None = ..., probabilities: Literal[True]
    ) -> tuple[LabelMap, Probabilities]: ...

    def predict_file(
        self,
        path: str | PathLike[str],
        *,
        save_to: str | PathLike[str] | None = None,
        probabilities: bool = False,
    ) -> LabelMap | tuple[LabelMap, Probabilities]:
        """Segment a case on disk.

        Args:
            path: CASE_0000.ext; its other channels CASE_0001.ext, … lie beside it.
            save_to: write the label map there, with the geometry of the image.
            probabilities: hand these out as well.

        Returns:
            As from `predict`.

        Raises:
            UserError: when a file is missing, misnamed, damaged or does not fit the model.
        """
        from autodiffseg.images import write_image
        from autodiffseg.prediction_inputs import check_prediction_inputs

        source = Path(path)
        if not source.is_file():
            raise UserError(f"{source} is no file; name the file of a case's first channel.")
        found = check_prediction_inputs(source, self._core.dataset.file_ending, len(self.channels))
        ((case, files),) = found.items()
        image, geometry = self._core.read(files)
        label, volumes = self._core.segment(image, geometry, case, probabilities=probabilities)
        if save_to is not None:
            write_image(Path(save_to), label, geometry)
        return label if volumes is None else (label, volumes)


class PredictorCore(Protocol):
    """What does the work; it is the trainers' and is found by name."""

    @property
    def dataset(self) -> DatasetJson:
        """What the models were trained for."""
        ...

    def read(self, files: Sequence[Path]) -> tuple[npt.NDArray[np.float32], Geometry]:
        """A sound case `(C, Z, Y, X)` and its geometry.

        Raises:
            UserError: when it is not sound.
        """
        ...

    def segment(
        self, image: npt.NDArray[np.float32], geometry: Geometry, case: str, *, probabilities: bool
    ) -> tuple[LabelMap, Probabilities | None]:
        """The label map of a sound case, and probabilities if they are wanted."""
        ...


class MakeCore(Protocol):
    """Loads models."""

    def __call__(
        self,
        models: tuple[Path, ...],
        *,
        folds: tuple[str, ...],
        checkpoint: str,
        device: str | None,
        precision: str,
        sampling: tuple[int | None, str | None, float | None, str | None],
        postprocess: bool,
        postprocessing: Path | None,
        options: Mapping[str, Any],
    ) -> PredictorCore:
        """Load them."""
        ...
