"""The row that the others are tested against is named by its first words."""

from __future__ import annotations

import pytest

from autodiffseg.errors import UserError
from autodiffseg.trainers.baseline import choose_baseline


def test_the_baseline_is_named_by_its_first_words() -> None:
    names = ("tedm", "supervised plain", "supervised long", "ledm x")
    assert choose_baseline(names, None) == "supervised plain"
    assert choose_baseline(names, "tedm") == "tedm"
    assert choose_baseline(names, "ledm") == "ledm x"
    with pytest.raises(UserError, match="'supervised' may be any of supervised plain, supervised long"):
        choose_baseline(names, "supervised")
    with pytest.raises(UserError, match="'magic' is not among"):
        choose_baseline(names, "magic")
