"""Numbers of bytes as people read them."""

from __future__ import annotations

UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def shown_bytes(size: float) -> str:
    """Three digits and the largest unit that leaves no leading zero: 1.74 GB, 52.3 MB, 854 kB; below, whole bytes."""
    for unit, scale in UNITS:
        # What rounds to a thousand of a unit is one of the next.
        if size >= 0.9995 * scale:
            return f"{size / scale:.3g} {unit}" if size < 999.5 * scale else f"{size / scale:.0f} {unit}"
    return f"{size:.0f} bytes"
