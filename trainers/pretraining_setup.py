"""Setting up a pretraining: its pool of images and every check before work starts, then the denoiser and its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from autodiffseg.dataloading.image_batches import ImageBatchSource
from autodiffseg.dataset import RawDataset
from autodiffseg.errors import UserError
from autodiffseg.preprocessing.previous_stage import Watch
from autodiffseg.preprocessing.unlabelled_pool import Pool, prepare_pool
from autodiffseg.runs import RECORD, RunRecord, check_tag, run_name, whole_tag
from autodiffseg.workspace import Workspace

from .backbone import FILE, RECORD_KEY, BackboneRecord
from .checkpoints import LAST, read_checkpoint
from .ddpm_pretraining import NAME, DdpmPretrainingTrainer, PretrainingOptions, Seen
from .loop import Loop
from .options import read_settings
from .run_conditions import is_begun, made_by, same_run, surroundings
from .run_request import LearningRequest

KEPT_BACK = 20
"""One image in so many is only watched, not learnt from."""
MOST_KEPT_BACK = 64


@dataclass(frozen=True, kw_only=True)
class PretrainingRequest(LearningRequest):
    """A pretraining as the user asked for it."""

    unlabelled: Sequence[Path]
    fold: str | None
    """The fold whose training images are learnt from too."""
    held_out: Sequence[Path]
    transductive: bool
    skip_broken: bool


def prepare_pretraining(
    request: PretrainingRequest, workspace: Workspace, *, go_on: bool, processes: int, watch: Watch | None = None
) -> tuple[Loop, Path, list[str]]:
    """A loop ready to run, its folder, and what the user should be told.

    Args:
        request: what is to be pretrained.
        workspace: where all lies.
        go_on: from the last checkpoint, if there is one.
        processes: that preprocess images, at most.
        watch: the progress of that.

    Raises:
        UserError: when anything is missing, contradictory, leaks, or would overwrite an earlier pretraining.
    """
    options = read_settings(PretrainingOptions, request.settings)
    found = surroundings(request, workspace)
    dataset, plan, configuration = found.dataset, found.plan, found.configuration
    fold = None if request.fold is None else found.fold(request.fold)
    tag = whole_tag(request.tag, request.seed)
    check_tag(tag)
    name = "pool" if request.fold is None else f"pool-fold-{request.fold}"
    folder = workspace.results(dataset) / run_name(NAME, plan.name, request.configuration, tag) / name
    begun = is_begun(folder, go_on=go_on)

    torch.manual_seed(request.seed)
    trainer = DdpmPretrainingTrainer(
        plan, request.configuration, found.declared, options, device=found.device, precision=found.precision
    )
    pool = prepare_pool(
        dataset,
        _raw(workspace, request.dataset, dataset),
        request.unlabelled,
        plan=plan,
        configuration=request.configuration,
        workspace=workspace,
        fold=fold,
        held_out=request.held_out,
        transductive=request.transductive,
        skip_broken=request.skip_broken,
        processes=processes,
        watch=watch,
    )
    trainer.seen = Seen(len(pool.images), pool.digest, pool.labelled, request.transductive, request.fold or "")
    learnt, watched = kept_back(pool.images)
    record = RunRecord(
        dataset=dataset,
        trainer=NAME,
        plan=plan.name,
        configuration=request.configuration,
        tag=tag,
        fold=name,
        seed=request.seed,
        training_cases=learnt,
        validation_cases=watched,
        iterations=request.iterations or plan.iterations,
        **made_by(trainer, plan),
    )
    if begun:
        _require_same_images(trainer.record(0), folder)
        record = same_run(record, trainer, folder)
    sources = [
        ImageBatchSource(pool.store, images, configuration, seed=request.seed, strength=strength)
        for images, strength in ((learnt, options.augmentation_strength if options.augment else 0.0), (watched, 0.0))
    ]
    loop = Loop(trainer, record, folder, *sources)
    notes = [*pool.notes, _told(pool, learnt, watched)]
    if begun:
        loop.resume()
        notes.append(f"Going on after update {loop.update}.")
    else:
        loop.record.save(folder / RECORD)
    return loop, folder, notes


def kept_back(images: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Images to learn from, and those to watch: every twentieth in the order of their ids, 64 at most.

    A single image is both.
    """
    if len(images) < 2:
        return tuple(images), tuple(images)
    count = min(max(1, len(images) // KEPT_BACK), MOST_KEPT_BACK)
    places = {(2 * number + 1) * len(images) // (2 * count) for number in range(count)}
    learnt = tuple(image for place, image in enumerate(images) if place not in places)
    return learnt, tuple(images[place] for place in sorted(places))


def _raw(workspace: Workspace, asked: str, dataset: str) -> RawDataset | None:
    """The raw dataset at the path that the user gave, or of the planned one's name; None where it is not at hand."""
    try:
        # A number may mean another dataset among the raw ones.
        return workspace.raw_dataset(asked if (Path(asked) / "dataset.json").is_file() else dataset)
    except UserError:
        return None


def _require_same_images(now: BackboneRecord, folder: Path) -> None:
    """Refuse to go on with other images than the pretraining was begun with.

    Raises:
        UserError: names what differs.
    """
    before = _begun_with(folder)
    cure = "Name the same folders and options, or give the new pretraining a --tag."
    if before.transductive != now.transductive:
        told = "with" if before.transductive else "without"
        raise UserError(f"--continue: {folder} was begun {told} --transductive. {cure}")
    if (before.pool_images, before.pool_digest) != (now.pool_images, now.pool_digest):
        raise UserError(
            f"--continue: {folder} was begun with {before.pool_images} unlabelled images, and they are not those of "
            f"now ({now.pool_images}). {cure}"
        )
    if changed := sorted({*before.labelled} ^ {*now.labelled}):
        raise UserError(
            f"--continue: {folder} was begun with the same images, but {changed[0]} was not among the labelled cases "
            f"and test images then, or is not now. {cure}"
        )


def _begun_with(folder: Path) -> BackboneRecord:
    """The record of the images of a pretraining; its file is missing where the first sitting was killed."""
    if (folder / FILE).is_file():
        return BackboneRecord.load(folder / FILE)
    return BackboneRecord.parse(read_checkpoint(folder / LAST)[RECORD_KEY], source=f"{folder / LAST}, {RECORD_KEY}")


def _told(pool: Pool, learnt: Sequence[str], watched: Sequence[str]) -> str:
    labelled = f", {len(pool.labelled)} of them labelled cases or test images" if pool.labelled else ""
    noun = "image" if len(pool.images) == 1 else "images"
    return f"{len(pool.images)} {noun}{labelled}: {len(learnt)} to learn from, {len(watched)} to watch the loss on."
