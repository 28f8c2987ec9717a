"""A comparison as JSON: everything that a page, a table or a figure of it is made from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from autodiffseg import __version__
from autodiffseg.evaluation.comparison import Comparison, Entrant
from autodiffseg.evaluation.comparison_tables import notes, verdict
from autodiffseg.evaluation.metrics import find_metric
from autodiffseg.evaluation.paired_scores import Score
from autodiffseg.evaluation.statistics import none_if_nan

SCHEMA_VERSION = 1


def comparison_json(comparison: Comparison, **more: Any) -> dict[str, Any]:
    """Plain lists and dictionaries; null for what does not exist. `more` is added, such as dataset and command."""
    return {
        "schema_version": SCHEMA_VERSION,
        "autodiffseg": __version__,
        **more,
        "classes": comparison.classes,
        "metrics": [find_metric(name)._asdict() for name in comparison.metrics],
        "cases": comparison.cases,
        "groups": comparison.groups,
        "units": comparison.units,
        "baseline": comparison.baseline,
        "entrants": [_entrant(comparison, entrant) for entrant in comparison.entrants],
        "notes": list(notes(comparison)),
    }


def _entrant(comparison: Comparison, entrant: Entrant) -> dict[str, Any]:
    results = comparison.results[entrant.name]
    return {
        "name": entrant.name,
        "cost": dict(entrant.cost),
        **entrant.facts,
        "results": {
            metric: {
                "foreground": {
                    **_score(result.foreground),
                    "verdict": ""
                    if entrant.name == comparison.baseline
                    else verdict(comparison, entrant, find_metric(metric)),
                },
                "classes": {key: _score(score) for key, score in result.classes.items()},
            }
            for metric, result in results.items()
        },
        "trainings": [
            {
                case: {
                    "prediction_file": scored[case].prediction_file,
                    "reference_file": scored[case].reference_file,
                    "scores": {
                        key: {
                            metric: none_if_nan(scored[case].metrics[key][metric])
                            for metric in (*comparison.metrics, "n_pred", "n_ref")
                        }
                        for key in comparison.classes
                    },
                }
                for case in comparison.cases
            }
            for scored in entrant.trainings
        ],
    }


def _score(score: Score) -> dict[str, Any]:
    content = asdict(score)
    content["interval"] = {name: none_if_nan(value) for name, value in score.interval._asdict().items()}
    content["difference"] = {name: none_if_nan(value) for name, value in score.difference._asdict().items()}
    content["test"] = score.test._asdict()
    return {name: none_if_nan(value) if isinstance(value, float) else value for name, value in content.items()}
