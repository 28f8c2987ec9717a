"""PredictionOutputs: what is written of each case, and where; the label map comes last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from autodiffseg.images import write_image
from autodiffseg.inference.export import Prediction, restore_label
from autodiffseg.inference.probability_file import probability_file
from autodiffseg.inference.probability_store import ProbabilityStore, StoredMean, StoredSteps, StoredVolumes
from autodiffseg.labels import LabelSpec
from autodiffseg.uncertainty.map_files import existing_maps, record_file

from .colour_output import picture_file
from .extra_output import CaseExtra, Draw, ExtraOutput, FinishLabel
from .member import ShownCase
from .prediction_options import WantedOutputs


class Writing(NamedTuple):
    """Files of a case that can be written."""

    write: Callable[[], None]
    in_turn: bool = False
    """Whether it is to be done after all earlier ones of the case."""


@dataclass(frozen=True)
class PredictionOutputs:
    """The files of a folder of predictions.

    The answer is the mean of the probabilities of all samples, and so is every step. `step_3/` holds what it was after
    the third sampling step, `sample_0/` the answer of the first sample alone.
    """

    folder: Path
    ending: str
    """Of label files, such as ".nii.gz"."""
    wanted: WantedOutputs = field(default_factory=WantedOutputs)
    samples: int = 1
    """Draws of each case; where there are several each is written into a folder of its own."""
    finishing: tuple[FinishLabel, ...] = ()
    """What is done to every label map before it is written, one after the other."""
    extras: tuple[ExtraOutput, ...] = ()
    """What else is written of a case."""

    def existing(self, case: str) -> tuple[Path, ...]:
        """All files of a case that are there, those of steps, samples and uncertainty too, asked for now or not."""
        names = (f"{case}{self.ending}", f"{case}.npz")
        folders = (self.folder, *self.subfolders())
        paths = [folder / name for folder in folders for name in names]
        paths += [self.folder / name for extra in self.extras for name in extra.names(case)]
        paths += [*existing_maps(self.folder, case).values(), record_file(self.folder, case)]
        paths += [picture_file(self.folder, case)]
        return tuple(path for path in paths if path.is_file())

    def subfolders(self) -> tuple[Path, ...]:
        """Those of steps and samples that are there."""
        return tuple(path for kind in ("step", "sample") for path in sorted(self.folder.glob(f"{kind}_[0-9]*")))

    def is_done(self, case: str) -> bool:
        """Whether a case was predicted before, with all that is wanted of it."""
        folders = [self.folder]
        folders += [self.folder / "step_1"] if self.wanted.steps else []
        folders += [self.folder / "sample_0"] if self.samples > 1 else []
        endings = (self.ending, ".npz") if self.wanted.probabilities else (self.ending,)
        paths = [folder / f"{case}{ending}" for folder in folders for ending in endings]
        paths += [self.folder / name for extra in self.extras for name in extra.names(case)]
        return all(path.is_file() for path in paths)

    def jobs(self, shown: Sequence[ShownCase], spec: LabelSpec, store: ProbabilityStore) -> Iterator[Writing]:
        """Predict a case. What is yielded writes some of its files and needs no network.

        It may be done in another thread while this goes on; the last one, with the label map, when all others are done.

        Args:
            shown: the case, as each member sees it.
            spec: what the channels mean.
            store: where the probabilities are kept until they have been written.

        Raises:
            UserError: when the output is not finite; from what is yielded, when a file cannot be written.
        """
        extras = [extra.begin(shown[0].properties.case) for extra in self.extras]
        means = [StoredMean(store, self.samples) if case.member.draws else None for case in shown]
        drawn: list[StoredSteps] = []
        for sample in range(self.samples):
            # S is 1 for members that answer at once; those are asked once.
            drawn = [
                self._draw(case, sample, store, means[number]) if case.member.draws or sample == 0 else drawn[number]
                for number, case in enumerate(shown)
            ]
            predictions = _predictions(shown, [steps.step(-1) for steps in drawn])
            draws = [Draw(member, sample, prediction) for member, prediction in enumerate(predictions)]
            if extras:
                yield Writing(partial(_see, extras, draws), in_turn=True)
            if self.samples > 1:
                yield Writing(partial(self._write, f"sample_{sample}", predictions, spec))
        answers = drawn
        if self.samples > 1:
            answers = [mean.steps if mean else steps for mean, steps in zip(means, drawn, strict=True)]
        del drawn
        for number in range(max(map(len, answers)) if self.wanted.steps else 0):
            step = _predictions(shown, [steps.step(min(number, len(steps) - 1)) for steps in answers])
            yield Writing(partial(self._write, f"step_{number + 1}", step, spec))
        answer = _predictions(shown, [steps.step(-1) for steps in answers])
        yield Writing(partial(self._write, "", answer, spec, extras), in_turn=True)

    def _draw(self, shown: ShownCase, sample: int, store: ProbabilityStore, mean: StoredMean | None) -> StoredSteps:
        predictor, case = shown.member.predictor_of(sample), shown.properties.case
        planes = predictor.predict_planes(shown.image, case, sample=sample, every_step=self.wanted.steps)
        return store.keep(planes, shown.properties.shape, mean if self.samples > 1 else None)

    def _write(
        self, subfolder: str, predictions: Sequence[Prediction], spec: LabelSpec, extras: Sequence[CaseExtra] = ()
    ) -> None:
        """The files of one label map in one folder; the label map comes last."""
        properties, folder = predictions[0].properties, self.folder / subfolder
        if self.wanted.probabilities:
            shape = (spec.channels, *properties.geometry.shape)
            with probability_file(folder / f"{properties.case}.npz", shape) as add:
                label = restore_label(predictions, spec, pass_on=add)
        else:
            label = restore_label(predictions, spec)
        for finish in self.finishing:
            label = finish(label, properties.geometry)
        for extra in extras:
            extra.write(predictions, label)
        write_image(folder / f"{properties.case}{self.ending}", label, properties.geometry)


def _see(extras: Sequence[CaseExtra], draws: Sequence[Draw]) -> None:
    for extra in extras:
        for draw in draws:
            extra.see(draw)


def _predictions(shown: Sequence[ShownCase], volumes: Sequence[StoredVolumes]) -> list[Prediction]:
    return [
        Prediction(channels, case.properties, case.member.plan, case.member.weight)
        for case, channels in zip(shown, volumes, strict=True)
    ]
