"""Files of probabilities that are written channel by channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autodiffseg.inference.probability_file import PIECE, probability_file


def test_numpy_reads_what_was_written_channel_by_channel(tmp_path: Path) -> None:
    side = 96  # a channel of more than one piece
    assert 2 * side**3 > PIECE
    channels = np.random.default_rng(0).uniform(size=(3, side, side, side)).astype(np.float16)
    with probability_file(tmp_path / "a.npz", channels.shape) as add:
        for channel in channels:
            add(np.asfortranarray(channel))
        assert not (tmp_path / "a.npz").exists()
    with np.load(tmp_path / "a.npz") as file:
        assert file.files == ["probabilities"]
        np.testing.assert_array_equal(file["probabilities"], channels)


@pytest.mark.parametrize("count", [1, 3])
def test_the_wrong_number_of_channels_makes_no_file(count: int, tmp_path: Path) -> None:
    def write() -> None:
        with probability_file(tmp_path / "a.npz", (2, 1, 1, 1)) as add:
            for _ in range(count):
                add(np.zeros((1, 1, 1), np.float16))

    with pytest.raises(ValueError, match=f"{count} of 2 channels"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_channel_of_another_kind_is_refused(tmp_path: Path) -> None:
    with probability_file(tmp_path / "a.npz", (1, 1, 1, 2)) as add:
        with pytest.raises(ValueError, match="float32"):
            add(np.zeros((1, 1, 2), np.float32))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"\(1, 2, 1\)"):
            add(np.zeros((1, 2, 1), np.float16))
        add(np.zeros((1, 1, 2), np.float16))
