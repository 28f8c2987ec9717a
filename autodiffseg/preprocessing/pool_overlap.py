"""How much of another set of images, such as one to be tested on, is in a pool."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from autodiffseg.errors import UserError
from autodiffseg.preprocessing.image_files import find_images
from autodiffseg.preprocessing.image_run import Grid, prepare_images
from autodiffseg.preprocessing.image_sketch import Likeness, find_same
from autodiffseg.preprocessing.image_store import ImageStore
from autodiffseg.preprocessing.unlabelled_pool import Pool


class Overlap(NamedTuple):
    """What was found."""

    images: int
    """Looked at."""
    same: dict[str, str]
    """Image -> the image of the pool whose voxels are the same after preprocessing."""
    alike: tuple[Likeness, ...]
    """The others that are most likely in the pool too, in another size or compression."""


def overlap(pool: Pool, folder: Path, grid: Grid, *, processes: int) -> Overlap:
    """Look for the images of a folder in a pool; copies that were cut or turned are not found.

    Args:
        pool: on the same grid.
        folder: of images, named as those of a pool are.
        grid: what the pool was brought to.
        processes: at most.

    Raises:
        UserError: when an image of the folder is broken.
    """
    channels = len(grid.plan.configuration(grid.configuration).normalisation)
    kept = ImageStore(pool.store.beside("compared"))
    good, broken = prepare_images(find_images(folder, channels), grid, kept, processes=processes, keep=False)
    if broken:
        raise UserError(f"{len(broken)} images cannot be compared with the pool, such as {next(iter(broken.values()))}")
    ids = {digest: image for image, digest in pool.digests.items()}
    same = {image.name: ids[found.digest] for image, found in good.items() if found.digest in ids}
    others = {image: pool.store.properties(image).sketch for image in pool.images if image not in pool.store.cases}
    strangers = {image.name: found.sketch for image, found in good.items() if image.name not in same}
    return Overlap(len(good), same, tuple(find_same(strangers, others)))
