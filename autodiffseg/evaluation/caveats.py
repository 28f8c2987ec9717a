"""Caveats: sentences under tables about rows whose scores may be too good."""

from __future__ import annotations

from collections.abc import Sequence


def seen_caveat(rows: Sequence[str]) -> str:
    """Of rows that began with weights which have seen what is validated, as they were allowed to."""
    return (
        f"The pretrained weights of {', '.join(rows)} have seen images of cases that are validated, without their "
        "labels (transductive)."
    )


def chosen_caveat(rows: Sequence[str]) -> str:
    """Of rows whose best checkpoint is scored."""
    return f"Of {', '.join(rows)} the best checkpoint is validated, which was chosen on these very cases."
