"""The case store: round trip, lazy reading, and nothing where a write was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.errors import UserError
from autodiffseg.geometry import Geometry
from autodiffseg.preprocessing import case_store
from autodiffseg.preprocessing.case_store import CaseProperties, CaseStore, PreprocessedCase, storage_shapes

GEOMETRY = Geometry(shape=(4, 30, 31), spacing=(1, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))


def make_case(name: str = "a", shape: tuple[int, int, int] = (4, 30, 31), channels: int = 2) -> PreprocessedCase:
    rng = np.random.default_rng(len(name))
    properties = CaseProperties(
        case=name,
        geometry=GEOMETRY,
        crop=((0, 4), (0, 30), (0, 31)),
        spacing_before=(1, 1, 1),
        spacing=(1, 1, 1),
        shape=shape,
        class_voxels={"one": 2, "none": 0, "two": 1},
    )
    return PreprocessedCase(
        image=rng.normal(size=(channels, *shape)).astype(np.float32),
        label=rng.integers(-1, 3, size=(1, *shape)).astype(np.int16),
        properties=properties,
        locations={
            0: np.array([[0, 1, 2], [3, 4, 5]], np.int32),
            1: np.zeros((0, 3), np.int32),
            2: np.array([[1, 1, 1]], np.int32),
        },
    )


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("shape", [(4, 30, 31), (1, 200, 190), (70, 60, 50)])
def test_what_is_written_is_read(tmp_path: Path, dimensions: int, shape: tuple[int, int, int]) -> None:
    store, case = CaseStore(tmp_path / "store"), make_case(shape=shape)
    assert store.cases() == ()
    store.write(case, dimensions=dimensions)
    assert store.cases() == ("a",)
    assert store.has("a")
    assert store.properties("a") == case.properties
    np.testing.assert_array_equal(store.image("a")[:], case.image)
    np.testing.assert_array_equal(store.label("a")[:], case.label)
    np.testing.assert_array_equal(store.image("a")[:, 0:1, 5:20, 7:9], case.image[:, 0:1, 5:20, 7:9])
    assert store.image("a").dtype == np.float32
    assert store.label("a").dtype == np.int16
    found = store.locations("a")
    assert list(found) == [0, 1, 2]
    for index, voxels in case.locations.items():
        np.testing.assert_array_equal(found[index], voxels)
        assert found[index].dtype == np.int32


def test_a_case_without_any_foreground_has_no_locations(tmp_path: Path) -> None:
    store = CaseStore(tmp_path)
    store.write(make_case()._replace(locations={}))
    assert {index: len(voxels) for index, voxels in store.locations("a").items()} == {0: 0, 1: 0, 2: 0}


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
def test_an_interrupted_write_leaves_no_case_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    calls = 0

    def failing(*arguments: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise KeyboardInterrupt
        real(*arguments, **options)

    store = CaseStore(tmp_path)
    store.write(make_case())  # an earlier version must not survive as if it were the new one
    real: Any = case_store.write_array
    if fails_at == 4:
        monkeypatch.setattr(CaseProperties, "save", lambda self, path: (_ for _ in ()).throw(KeyboardInterrupt))
    else:
        monkeypatch.setattr(case_store, "write_array", failing)
    with pytest.raises(KeyboardInterrupt):
        store.write(make_case())
    assert store.cases() == ()
    assert not store.has("a")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".tmp")]


def test_half_written_files_are_no_cases(tmp_path: Path) -> None:
    (tmp_path / ".tmp-12345678-b.json").write_text("{}")
    (tmp_path / "c.image.b2nd").write_bytes(b"")
    assert CaseStore(tmp_path).cases() == ()


def test_names_with_dots_do_not_meet(tmp_path: Path) -> None:
    store = CaseStore(tmp_path)
    for name in ("p1.5", "p1", "p1.image"):
        store.write(make_case(name))
    assert store.cases() == ("p1", "p1.5", "p1.image")
    np.testing.assert_array_equal(store.image("p1")[:], make_case("p1").image)


def test_a_case_without_label_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no label"):
        CaseStore(tmp_path).write(make_case()._replace(label=None))
    assert list(tmp_path.iterdir()) == []


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    store = CaseStore(tmp_path)
    with pytest.raises(UserError, match=r"a\.image\.b2nd does not exist"):
        store.image("a")
    (tmp_path / "a.image.b2nd").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"a\.image\.b2nd is damaged"):
        store.image("a")


@given(st.tuples(st.integers(1, 4), *[st.integers(1, 700)] * 3), st.sampled_from([2, 4]), st.sampled_from([2, 3]))
def test_storage_shapes_are_bounded_and_fit(shape: tuple[int, ...], itemsize: int, dimensions: int) -> None:
    chunks, blocks = storage_shapes(shape, itemsize, dimensions)
    assert np.prod(blocks) * itemsize <= case_store.BLOCK_BYTES
    assert np.prod(chunks) * itemsize <= case_store.CHUNK_BYTES
    assert all(1 <= block <= chunk <= length for block, chunk, length in zip(blocks, chunks, shape, strict=True))
    assert blocks[0] == chunks[0] == 1
    assert dimensions == 3 or blocks[1] == 1
