"""Byte sizes."""

import pytest

from autodiffseg.byte_sizes import shown_bytes


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (999.6, "1 kB"),
        (1000, "1 kB"),
        (17_424, "17.4 kB"),
        (999_400, "999 kB"),
        (999_600, "1 MB"),
        (52.34e6, "52.3 MB"),
        (1.74e9, "1.74 GB"),
        (2.5e12, "2500 GB"),
    ],
)
def test_a_size_is_shown_in_the_unit_that_fits(size: float, shown: str) -> None:
    assert shown_bytes(size) == shown
