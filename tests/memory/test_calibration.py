"""What a GPU needs beyond its tensors: a general value until the GPU itself has been asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from autodiffseg.memory.calibration import (
    CACHE,
    CONTEXT,
    FILE,
    OVERHEAD,
    Reading,
    cache_folder,
    overhead_of,
    predicted_bytes,
    remember,
)

GIGA = 10**9


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def reading(reserved: int, gpu: str = "Card", torch: str = "2.13") -> Reading:
    return Reading(gpu, torch, reserved)


def test_five_per_cent_and_two_gigabytes_are_added_where_nothing_was_measured() -> None:
    assert predicted_bytes(4 * GIGA, overhead_of("Card", "2.13")) == 4.2 * GIGA + 2 * GIGA
    assert overhead_of(None, "2.13") == OVERHEAD


def test_the_next_prediction_for_a_step_is_what_was_measured_of_it(own_cache: Path) -> None:
    remember(4 * GIGA, lambda: reading(5 * GIGA))
    assert predicted_bytes(4 * GIGA, overhead_of("Card", "2.13")) == 5 * GIGA + CONTEXT
    assert (own_cache / FILE).is_file()


def test_a_measurement_is_of_one_gpu_with_one_torch() -> None:
    remember(4 * GIGA, lambda: reading(5 * GIGA))
    assert overhead_of("Other card", "2.13") == overhead_of("Card", "2.14") == OVERHEAD
    remember(4 * GIGA, lambda: reading(6 * GIGA, gpu="Other card"))
    assert overhead_of("Card", "2.13") == 0.8 * GIGA + CONTEXT
    assert overhead_of("Other card", "2.13") == 1.8 * GIGA + CONTEXT


def test_the_largest_residual_is_kept() -> None:
    for reserved in (5, 7, 6):
        remember(4 * GIGA, lambda reserved=reserved: reading(reserved * GIGA))
    assert overhead_of("Card", "2.13") == 2.8 * GIGA + CONTEXT


def test_less_than_the_tensors_is_no_gain() -> None:
    remember(4 * GIGA, lambda: reading(4 * GIGA))  # the allocator had no gaps at all
    assert overhead_of("Card", "2.13") == CONTEXT


def test_a_broken_file_is_as_none_and_is_written_anew(own_cache: Path) -> None:
    own_cache.mkdir()
    (own_cache / FILE).write_text("{", encoding="utf-8")
    assert overhead_of("Card", "2.13") == OVERHEAD
    remember(4 * GIGA, lambda: reading(5 * GIGA))
    assert overhead_of("Card", "2.13") != OVERHEAD


@pytest.mark.skipif(sys.platform != "linux", reason="the folder of Linux")
def test_without_the_variable_the_platforms_cache_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "autodiffseg"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "autodiffseg"
