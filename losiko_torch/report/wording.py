"""Numbers as text, for the sentences, tables and pages of all commands."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Return a count and its noun: "1 structure", "1,200 structures"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def as_number(value: float) -> str:
    """Return a number with three digits: "0.0123", "1.23e-05", "12,300"."""
    if value == 0 or 1e-3 <= abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.2e}"
