"""The store of preprocessed images without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autodiffseg.errors import UserError
from autodiffseg.preprocessing.image_store import ImageProperties, ImageStore, array_digest

IMAGE = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
PROPERTIES = ImageProperties.of("a-1", IMAGE, (2.0, 1.0, 1.0))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_what_is_written_is_read(tmp_path: Path, dimensions: int) -> None:
    store = ImageStore(tmp_path / "images")
    assert not store.has("a-1")
    store.write(PROPERTIES, IMAGE, dimensions=dimensions)
    assert store.has("a-1")
    assert store.properties("a-1") == PROPERTIES
    np.testing.assert_array_equal(store.image("a-1")[:], IMAGE)
    assert (PROPERTIES.shape, PROPERTIES.digest) == ((3, 4, 5), array_digest(store.image("a-1")[:]))


def test_an_image_without_its_record_does_not_exist(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    store.write(PROPERTIES, IMAGE)
    (tmp_path / "a-1.json").unlink()
    assert not store.has("a-1")


def test_properties_may_be_kept_alone(tmp_path: Path) -> None:
    ImageStore(tmp_path).write(PROPERTIES, None)
    assert [path.name for path in tmp_path.iterdir()] == ["a-1.json"]


def test_a_damaged_image_is_named_with_the_cure(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    store.write(PROPERTIES, IMAGE)
    path = tmp_path / "a-1.image.b2nd"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"a-1.image.b2nd is damaged .*; remove the image's .json"):
        store.image("a-1")
    path.unlink()
    with pytest.raises(UserError, match=r"a-1.image.b2nd does not exist; remove the image's .json"):
        store.image("a-1")


def test_a_digest_tells_shapes_and_voxels_apart_but_not_memory_layouts() -> None:
    assert array_digest(IMAGE) == array_digest(np.asfortranarray(IMAGE))
    assert array_digest(IMAGE) != array_digest(IMAGE.reshape(2, 3, 5, 4))
    changed = IMAGE.copy()
    changed[0, 0, 0, 0] = np.nextafter(changed[0, 0, 0, 0], 9)
    assert array_digest(IMAGE) != array_digest(changed)
