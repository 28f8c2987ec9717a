"""Postprocessing: removing components of label maps by rules that cross-validation has proven."""
