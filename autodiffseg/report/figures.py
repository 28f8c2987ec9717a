"""The figures of a page, with their captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from autodiffseg.evaluation.comparison import Comparison
from autodiffseg.evaluation.comparison_figures import class_figure, has_seeds, pairs_figure, seeds_figure, steps_figure
from autodiffseg.evaluation.metrics import find_metric
from autodiffseg.evaluation.step_curves import Curves
from autodiffseg.report.inline_svg import inline_svg, plain_text
from autodiffseg.report.training_curves import training_curves, training_figure

TRAINING_CAPTIONS = {
    "loss": "Loss over the updates; losses of different trainers are not the same quantity.",
    "validation_patch_dice": "Dice of a few validation patches while training, without a sliding window.",
}


@dataclass(frozen=True)
class PageFigure:
    """A figure and what stands below it."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class FigureSection:
    """Figures under one heading; or, without any, why there is none."""

    key: str
    title: str
    figures: tuple[PageFigure, ...]
    otherwise: str = ""


def figure_sections(comparison: Comparison, steps: Mapping[str, Curves]) -> Iterator[FigureSection]:
    """All sections of figures, in the order of the page.

    Args:
        comparison: what is shown.
        steps: entrant -> scores per sampling step, of those that have them.
    """
    with plain_text():
        metrics = [find_metric(name) for name in comparison.metrics]
        boxes = tuple(
            _drawn(
                class_figure(comparison, metric),
                f"classes{place}",
                f"{metric.title} per class: boxes span the quartiles with the median, whiskers reach 1.5 times as far; "
                "a dot is a case.",
            )
            for place, metric in enumerate(metrics)
        )
        yield FigureSection("classes", "Per class", boxes)
        pairs = tuple(
            _drawn(
                pairs_figure(comparison, metric),
                f"pairs{place}",
                f"{metric.title}, mean over classes: a dot is a case, {comparison.baseline} along x. On the line both "
                f"are equal; {'above' if metric.better == 'more' else 'below'} it the other is better."
                if metric.better != "zero"
                else f"{metric.title}, mean over classes: a dot is a case, {comparison.baseline} along x.",
            )
            for place, metric in enumerate(metrics[: 2 if len(comparison.entrants) > 1 else 0])
        )
        yield FigureSection("pairs", "Case against case", pairs, "There is one row alone.")
        seeds = tuple(
            _drawn(
                seeds_figure(comparison, metric),
                f"trainings{place}",
                f"{metric.title}: a dot is one training (another seed), the bar their mean.",
            )
            for place, metric in enumerate(metrics[: 2 if has_seeds(comparison) else 0])
        )
        yield FigureSection(
            "trainings",
            "Spread over trainings",
            seeds,
            "Every row is one training: how far another seed would move its scores is not known. Three or more "
            "trainings of a method that differ in their seed alone become one row with their spread.",
        )
        drawn_steps = _drawn(
            steps_figure(steps), "steps",
            f"Mean scores after every sampling step of {', '.join(steps)}; the last is the answer.",
        ) if steps else None  # fmt: skip
        yield FigureSection(
            "steps",
            "Sampling steps",
            (drawn_steps,) if drawn_steps is not None else (),
            "No compared run has been analysed step by step over these cases; `autodiffseg analyse steps` does it.",
        )
        progress = training_curves(comparison)
        names = [entrant.name for entrant in comparison.entrants]
        drawn_progress = tuple(
            _drawn(training_figure(column, progress, names), column, caption)
            for column, caption in TRAINING_CAPTIONS.items()
            if any(column in training for trainings in progress.values() for training in trainings)
        )
        yield FigureSection("progress", "Training curves", drawn_progress, "No compared run has a progress.csv.")


def _drawn(figure: Figure, name: str, caption: str) -> PageFigure:
    return PageFigure(inline_svg(figure, name, caption), caption)
