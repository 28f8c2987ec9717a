"""The page of a label curve: one HTML file with its figure, its table and the commands that trained."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from autodiffseg import __version__
from autodiffseg.atomic import write_text
from autodiffseg.evaluation.curve_plot import curves_figure
from autodiffseg.evaluation.label_tables import LabelCurves, label_panels
from autodiffseg.evaluation.marked_table import Cell, MarkedTable
from autodiffseg.evaluation.report_table import ReportTable
from autodiffseg.invocation import command_line
from autodiffseg.report.inline_svg import inline_svg, plain_text
from autodiffseg.report.page_tables import page_table
from autodiffseg.report.page_template import page_template


def write_label_page(path: Path, curves: LabelCurves, table: ReportTable, *, commands: Sequence[str]) -> None:
    """Write the page.

    Args:
        path: of the page.
        curves: what it shows.
        table: of the curves.
        commands: that made the trainings.

    Raises:
        OSError: when it cannot be written.
    """
    with plain_text():
        figure = curves_figure(curves.counts, label_panels(curves), title="", xlabel="labels", logarithmic=True)
        shown = "; ".join(label_panels(curves))
        drawn = inline_svg(figure, "labels", f"{shown}, by the number of labels, a line for each method.")
    marked = MarkedTable(table.title, table.header, tuple(tuple(map(Cell, row)) for row in table.texts()), names=0)
    text = page_template("labels.html").render(
        title=table.title,
        figure=drawn,
        caption="Mean over cases and trainings by the number of labelled training cases.",
        table=page_table(marked),
        notes=table.notes,
        runs=commands,
        command=command_line(),
        version=__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    write_text(path, text)
