"""A configuration in one line."""

from __future__ import annotations

from autodiffseg.plans import ConfigurationPlan


def summarise(configuration: ConfigurationPlan) -> str:
    """Grid, patch, batch and depth."""
    spacing = " × ".join(f"{value:.4g}" for value in configuration.spacing)
    grid = f"spacing {spacing} mm"
    if configuration.target_size is not None:
        grid = "images of {} × {} pixels".format(*configuration.target_size)
    patch = " × ".join(str(length) for length in configuration.patch_size)
    stages = len(configuration.network.features)
    after = f", after {configuration.previous_stage}" if configuration.previous_stage else ""
    return f"{grid}, patch {patch}, batch {configuration.batch_size}, {stages} stages{after}"
