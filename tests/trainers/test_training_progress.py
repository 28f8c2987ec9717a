"""Bars of a training: there when there is something to prepare, and not otherwise."""

from __future__ import annotations

import io

from rich.console import Console

from autodiffseg.trainers.training_progress import bar_when_needed


def shown(*counts: int) -> str:
    text = io.StringIO()
    with bar_when_needed("Images", Console(file=text, width=80)) as watch:
        for count in counts:
            advance = watch(count)
            for _ in range(count):
                advance()
    return text.getvalue()


def test_nothing_is_shown_where_nothing_is_prepared() -> None:
    assert shown() == ""


def test_each_thing_to_prepare_has_a_bar_that_is_full_at_the_end() -> None:
    assert "Images" in shown(3)
    assert "3/3" in shown(3)
    assert {"3/3", "2/2"} <= {*shown(3, 2).split()}
