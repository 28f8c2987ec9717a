"""Workflows: what needs several wings; they call commands by name, as a user would, and import no wing."""
