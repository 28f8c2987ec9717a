"""The page of a label curve: one HTML file with its figure, its table and the commands that trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autodiffseg.atomic import write_text
from autodiffseg.evaluation.curve_plot import curves_figure
from autodiffseg.evaluation.label_tables import LabelCurves, label_panels, narrow_tables
from autodiffseg.report.inline_svg import inline_svg, plain_text
from autodiffseg.report.page_tables import page_table
from autodiffseg.report.page_template import rendered_page


def write_label_page(
    path: Path, curves: LabelCurves, *, title: str, notes: Sequence[str], commands: Sequence[str]
) -> None:
    """Write the page.

    Args:
        path: of the page.
        curves: what it shows.
        title: of the page.
        notes: what a reader must know.
        commands: that made the trainings.

    Raises:
        OSError: when it cannot be written.
    """
    with plain_text():
        figure = curves_figure(curves.counts, label_panels(curves), title="", xlabel="labels", logarithmic=True)
        shown = "; ".join(label_panels(curves))
        drawn = inline_svg(figure, "labels", f"{shown}, by the number of labels, a line for each method.")
    text = rendered_page(
        "labels.html",
        title=title,
        figure=drawn,
        caption="Mean over cases and trainings by the number of labelled training cases.",
        tables=[page_table(table) for table in narrow_tables(curves)],
        notes=notes,
        runs=commands,
    )
    write_text(path, text)
