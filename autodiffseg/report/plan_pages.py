"""The plans of the compared runs with their reasons, from Markdown to HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from autodiffseg.evaluation.comparison import Comparison
from autodiffseg.workspace import Workspace

DEEPER = 2
"""Levels by which headings go down: those of the page stand above them."""


@dataclass(frozen=True)
class PlanPage:
    """One plan."""

    name: str
    used_by: tuple[str, ...]
    reasons: Markup | None
    """None when NAME_explained.md is not there."""


def plan_pages(comparison: Comparison, workspace: Workspace, dataset: str) -> Iterator[PlanPage]:
    """A page for each plan that a compared run was trained with."""
    users: dict[str, list[str]] = {}
    for entrant in comparison.entrants:
        if "plan" in entrant.facts:
            users.setdefault(entrant.facts["plan"], []).append(entrant.name)
    for plan, names in users.items():
        path = workspace.plan_path(dataset, plan).with_name(f"{plan}_explained.md")
        reasons = to_html(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
        yield PlanPage(plan, tuple(names), reasons)


def to_html(markdown: str) -> Markup:
    """Markdown as HTML: HTML in it is shown, not obeyed; headings go down, tables scroll in a box of their own."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + DEEPER)}"
    return Markup(parser.renderer.render(list(_boxed(tokens)), parser.options, {}))  # escaped by the parser


def _boxed(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        if token.type == "table_open":
            yield _html('<div class="scroll" tabindex="0" role="region" aria-label="Table of the plan">')
        yield token
        if token.type == "table_close":
            yield _html("</div>")


def _html(content: str) -> Token:
    return Token("html_block", "", 0, content=content)
