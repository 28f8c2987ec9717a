"""Figures in the page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from autodiffseg.report.inline_svg import inline_svg, plain_text


def drawn(name: str = "one", label: str = "a") -> str:
    with plain_text():
        figure = Figure(figsize=(3, 2))
        plot = figure.add_subplot()
        plot.scatter([0, 1], [0, 1], color="#0072b2")
        plot.plot([0, 1], [1, 0], color="#000000")
        plot.set_title(label)
        return str(inline_svg(figure, name, "Dice & <more>"))


def test_a_figure_is_one_well_formed_element_with_a_description() -> None:
    root = ElementTree.fromstring(drawn())
    assert root.attrib["aria-label"] == "Dice & <more>"
    assert root.attrib["viewBox"] == "0 0 216 144"
    assert root.attrib["width"] == "288"


def test_black_is_the_colour_of_the_text_and_nothing_is_filled_behind() -> None:
    svg = drawn()
    assert "#000000" not in svg
    assert "currentColor" in svg
    assert "var(--blue)" in svg
    assert "#ffffff" not in svg


def test_parts_of_two_figures_have_different_ids_and_references_find_theirs() -> None:
    first, second = drawn("one"), drawn("two")
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0] and not ids[0] & ids[1]  # noqa: PT018
    used = set(re.findall(r'xlink:href="#([^"]+)"|url\(#([^)]+)\)', first))
    assert used
    assert {a or b for a, b in used} <= ids[0]


def test_a_dollar_begins_no_formula() -> None:
    assert "$x_{$" in drawn(label="$x_{$")
