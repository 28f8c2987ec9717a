"""Philox against the published test vectors and a slow twin in Python's own integers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autodiffseg.inference.philox import KEY_STEPS, MASK, MULTIPLIERS, philox

Words = tuple[int, int, int, int]
word = st.integers(0, MASK)


def one(counter: Words, key: tuple[int, int]) -> tuple[int, ...]:
    a, b, c, d = (torch.tensor([value]) for value in counter)
    return tuple(int(value) for value in philox((a, b, c, d), key))


@pytest.mark.parametrize(
    ("counter", "key", "wanted"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((MASK,) * 4, (MASK,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_known_answers_of_random123_come_out(counter: Words, key: tuple[int, int], wanted: Words) -> None:
    assert one(counter, key) == wanted


@given(st.tuples(word, word, word, word), st.tuples(word, word))
def test_int64_arithmetic_equals_exact_integers(counter: Words, key: tuple[int, int]) -> None:
    a, b, c, d = counter
    for i in range(10):
        high = [product >> 32 for product in (a * MULTIPLIERS[0], c * MULTIPLIERS[1])]
        low = [product & MASK for product in (a * MULTIPLIERS[0], c * MULTIPLIERS[1])]
        keys = [(k + i * step) % 2**32 for k, step in zip(key, KEY_STEPS, strict=True)]
        a, b, c, d = high[1] ^ b ^ keys[0], low[1], high[0] ^ d ^ keys[1], low[0]
    assert one(counter, key) == (a, b, c, d)


def test_counters_may_be_broadcast_axes() -> None:
    axes = [torch.arange(3 + n).reshape(-1, *(1,) * (3 - n)) for n in range(4)]
    short = philox((axes[0], axes[1], axes[2], axes[3]), (1, 2))
    a, b, c, d = torch.broadcast_tensors(*axes)
    for got, wanted in zip(short, philox((a, b, c, d), (1, 2)), strict=True):
        assert torch.equal(got.expand(3, 4, 5, 6), wanted)
