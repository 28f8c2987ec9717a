"""Mirroring and the two sides of the body: a mirrored left lung is a right lung."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

SIDES = (
    ("left", "right"), ("l", "r"), ("lt", "rt"), ("lh", "rh"), ("lft", "rgt"),
    ("sinister", "dexter"), ("sinistra", "dextra"), ("sinistrum", "dextrum"), ("sin", "dex"), ("os", "od"),
    ("links", "rechts"), ("linke", "rechte"), ("linker", "rechter"), ("linkes", "rechtes"), ("li", "re"),
    ("gauche", "droite"), ("gauche", "droit"), ("izquierda", "derecha"), ("izquierdo", "derecho"), ("izq", "der"),
    ("sinistra", "destra"), ("sinistro", "destro"), ("sx", "dx"), ("esquerda", "direita"), ("esquerdo", "direito"),
    ("esq", "dir"), ("lewa", "prawa"), ("lewy", "prawy"), ("lewe", "prawe"),
)  # fmt: skip
"""Words for the patient's left and right: English, Latin, German and Dutch, French, Spanish, Italian, Portuguese,
Polish. A name counts as sided only where its counterpart is a class too, so that short words do no harm."""
WITHIN_WORDS = (
    *((left, right) for left, right in SIDES if min(len(left), len(right)) >= 4),
    ("лев", "прав"),
    ("左", "右"),
)
"""Those that are looked for within a word too: `leftlung` and `rightlung`; Russian in all its endings, Chinese."""
USUAL_AXIS = 2
"""Raw axis x: left to right in images that lie in the usual orientation, and in pictures."""


def left_right_axis(direction: Sequence[float]) -> int:
    """The raw array axis (0 is z, 1 y, 2 x) that lies nearest to the patient's left-right.

    Args:
        direction: SimpleITK's direction cosines, row by row. World axes are LPS, so the first row says how far each
            image axis (x, y, z) goes from right to left. With 4 numbers the image is 2D: it lies in no patient, and
            x is taken.
    """
    if len(direction) != 9:
        return USUAL_AXIS
    to_the_left = [abs(cosine) for cosine in direction[:3]]
    return 2 - to_the_left.index(max(to_the_left))


def paired_names(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Class names that differ in the side alone, as (left, right): `lung_left` and `Right lung`, `L_Kidney`, …"""
    by_words = {tuple(sorted(words)): name for name in names if (words := _words(name))}
    pairs: dict[tuple[str, str], None] = {}  # in order, each once
    for words, name in by_words.items():
        for counterpart in _to_the_right(words):
            if counterpart in by_words:
                pairs[name, by_words[counterpart]] = None
    return tuple(pairs)


def _to_the_right(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The words (sorted) of every name that differs from a left one in the side alone."""
    for index, word in enumerate(words):
        others = (*words[:index], *words[index + 1 :])
        for left, right in SIDES:
            if word == left:
                yield tuple(sorted((*others, right)))
        for left, right in WITHIN_WORDS:
            if left in word:
                yield tuple(sorted((*others, word.replace(left, right))))


def mirror_axes(
    names: Iterable[str], transpose: tuple[int, int, int], dimensions: int, left_right_axes: Iterable[int] = ()
) -> tuple[int, ...]:
    """Patch axes along which cases may be mirrored: all, but not left-right when classes come in such pairs.

    Args:
        names: foreground classes or regions.
        transpose: raw axes in the order of the preprocessed array.
        dimensions: 2 when patches are slices of the first preprocessed axis.
        left_right_axes: of the training cases. An axis that is left-right in any of them is not mirrored; where
            nobody looked, that is x.
    """
    kept = kept_axes(left_right_axes) if paired_names(names) else ()
    raw_axes = transpose[3 - dimensions :]
    return tuple(index for index, raw in enumerate(raw_axes) if raw not in kept)


def kept_axes(left_right_axes: Iterable[int]) -> tuple[int, ...]:
    """Raw axes that sided classes do not allow to mirror."""
    return tuple(sorted(set(left_right_axes))) or (USUAL_AXIS,)


def _words(name: str) -> tuple[str, ...]:
    """`KidneyLeft`, `kidney_left` and `kidney-LEFT` as ("kidney", "left")."""
    spaced = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3 \2", name)
    return tuple(word for word in re.split(r"[\W_]+", spaced.casefold()) if word)
