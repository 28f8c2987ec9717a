"""A matplotlib figure as SVG inside a page: in the page's own font and in its colour of text, light or dark."""

from __future__ import annotations

import io
import re
from contextlib import AbstractContextManager

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

UNDATED = {"Date": None, "Creator": None, "Format": None, "Type": None}
POINT_PX = 4 / 3
"""CSS pixels of a point."""
ADAPTED = {"#000000": "currentColor", "#0072b2": "var(--blue)"}
"""Colours too dark for a dark page -> what the page's style sheet makes of them."""


def plain_text() -> AbstractContextManager[None]:
    """In this context a figure takes names as they are: `$` begins no formula. Figures must be made in it."""
    return rc_context({"text.parse_math": False})


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an `<svg>` element for readers who see it, with a description for those who do not.

    Black becomes the colour of the text around it, dark blue is the page's to choose, and the ground stays open: the
    figure fits a dark page too.

    Args:
        figure: to be drawn.
        name: of letters, another one for every figure of a page: it keeps the ids of their parts apart.
        description: what the figure shows.
    """
    text = io.StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", transparent=True, metadata=UNDATED)
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    for colour, variable in ADAPTED.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    _, _, inside = svg.partition(">")
    width, height = (POINT_PX * points for points in figure.get_size_inches() * 72)
    head = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {width / POINT_PX:g} {height / POINT_PX:g}" '
        f'width="{width:.0f}" height="{height:.0f}" style="--natural: {width:.0f}px" '
        f'role="img" aria-label="{escape(description)}">'
    )
    return Markup(head + inside)  # matplotlib has escaped the texts
