"""Mirroring and the two sides of the body: a mirrored left lung is a right lung."""

from __future__ import annotations

import re
from collections.abc import Iterable

OTHER_SIDE = {"left": "right", "l": "r", "lt": "rt", "lh": "rh", "sin": "dex", "sinistra": "dextra"}
LEFT_RIGHT_AXIS = 2
"""Raw axis x: left to right in images that lie in the usual orientation."""


def paired_names(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Class names that differ in the side alone, as (left, right): `lung_left` and `lung_right`, `L_Kidney`, …"""
    by_words = {_words(name): name for name in names}
    pairs = []
    for words, name in by_words.items():
        for index, word in enumerate(words):
            if word in OTHER_SIDE:
                partner = (*words[:index], OTHER_SIDE[word], *words[index + 1 :])
                if partner in by_words:
                    pairs.append((name, by_words[partner]))
    return tuple(pairs)


def mirror_axes(names: Iterable[str], transpose: tuple[int, int, int], dimensions: int) -> tuple[int, ...]:
    """Patch axes along which cases may be mirrored: all, but not left-right when classes come in such pairs.

    Args:
        names: foreground classes or regions.
        transpose: raw axes in the order of the preprocessed array.
        dimensions: 2 when patches are slices of the first preprocessed axis.
    """
    sided = bool(paired_names(names))
    raw_axes = transpose[3 - dimensions :]
    return tuple(index for index, raw in enumerate(raw_axes) if not (sided and raw == LEFT_RIGHT_AXIS))


def _words(name: str) -> tuple[str, ...]:
    """`KidneyLeft`, `kidney_left` and `kidney-LEFT` as ("kidney", "left")."""
    spaced = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3 \2", name)
    return tuple(word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word)
