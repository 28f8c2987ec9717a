"""The report page of a comparison: gathers its parts and writes one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from autodiffseg.atomic import write_text
from autodiffseg.dataset import DatasetJson
from autodiffseg.errors import UserError
from autodiffseg.evaluation.comparison import Comparison
from autodiffseg.evaluation.comparison_tables import comparison_tables, notes
from autodiffseg.evaluation.metrics import Metric, find_metric
from autodiffseg.evaluation.step_curves import Curves
from autodiffseg.evaluation.summary import CONVENTIONS
from autodiffseg.label_colours import class_colours
from autodiffseg.report.case_pictures import MOST_ENTRANTS, CasePictures, PictureSources
from autodiffseg.report.chosen_cases import chosen_cases
from autodiffseg.report.conditions import conditions
from autodiffseg.report.figures import figure_sections
from autodiffseg.report.page_tables import cases_table, glance, page_table
from autodiffseg.report.page_template import rendered_page
from autodiffseg.report.plan_pages import plan_pages
from autodiffseg.report.run_facts import run_facts
from autodiffseg.workspace import Workspace


def write_report(
    path: Path,
    comparison: Comparison,
    workspace: Workspace,
    dataset: str,
    *,
    asked_as: str,
    steps: Mapping[str, Curves],
    on_case: Callable[[], None] = lambda: None,
) -> list[str]:
    """Write the page.

    Args:
        path: of the page.
        comparison: what it is about.
        workspace: where plans, references and images are looked for.
        dataset: full name.
        asked_as: the dataset as the user named it: a path leads to its images.
        steps: entrant -> scores per sampling step, of those that have them.
        on_case: called after each case that is drawn.

    Returns:
        Sentences about what the page lacks.

    Raises:
        OSError: when the page cannot be written.
    """
    metric = find_metric(comparison.metrics[0])
    declared = DatasetJson.load(workspace.dataset_json_path(dataset))
    pictures, lacking = _pictures(comparison, metric, workspace, dataset, asked_as, declared, on_case)
    cases, cut = cases_table(comparison, metric)
    names = list(declared.spec.foreground)
    text = rendered_page(
        "page.html",
        dataset=dataset,
        title=f"{dataset}: comparison of trainers",
        comparison=comparison,
        metric=metric,
        glance=list(glance(comparison, metric)),
        conditions=list(conditions(comparison)),
        notes=list(notes(comparison)),
        conventions=CONVENTIONS,
        tables=[page_table(table) for table in comparison_tables(comparison)],
        sections=list(figure_sections(comparison, steps)),
        pictures=pictures,
        lacking=lacking,
        colours=list(zip(names, class_colours(len(names)), strict=True)),
        cases=cases,
        cut=cut,
        plans=list(plan_pages(comparison, workspace, dataset)),
        runs=list(run_facts(comparison)),
    )
    write_text(path, text)
    return lacking


def _pictures(
    comparison: Comparison,
    metric: Metric,
    workspace: Workspace,
    dataset: str,
    asked_as: str,
    declared: DatasetJson,
    on_case: Callable[[], None],
) -> tuple[list[CasePictures], list[str]]:
    """The cases in pictures, and what is lacking; a case that cannot be drawn is no reason to go without a page."""
    lacking = []
    raw = None
    try:
        raw = workspace.raw_dataset(asked_as)
        if raw.name != dataset:
            raise UserError(f"{raw.folder} is another dataset than {dataset}; name it by its path.")
    except UserError as error:
        raw = None
        lacking.append(f"The images were not found, so outlines are drawn on black. {error}")
    sources = PictureSources(declared, workspace.reference_labels(dataset), raw)
    pictures = []
    for case, reason in chosen_cases(comparison, metric).items():
        try:
            pictures.append(sources.picture(comparison, case, reason, metric))
        except UserError as error:
            lacking.append(f"No pictures of {case}: {error}")
        on_case()
    if len(comparison.entrants) > MOST_ENTRANTS:
        lacking.append(f"Pictures show the first {MOST_ENTRANTS} of {len(comparison.entrants)} rows.")
    return pictures, lacking
