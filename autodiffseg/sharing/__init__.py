"""Sharing models: one zip file with all that prediction needs, and nothing of the machine that made it."""
