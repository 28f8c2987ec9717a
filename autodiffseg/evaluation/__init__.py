"""Scoring segmentations: overlap and surface metrics, paired statistics, comparison tables."""
