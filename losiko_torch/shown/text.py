"""Counts, numbers and names as text on one line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

#: Elements whose environments are counted on a line, at most.
ELEMENTS = 12


def plural(count: int, noun: str) -> str:
    """Return a count and its noun: "1 structure", "1,200 structures"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def as_number(value: float) -> str:
    """Return a number with three digits: "0.0123", "1.23e-05", "12,300"."""
    if value == 0 or 1e-3 <= abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.2e}"


def counted(counts: Mapping[str, int], most: int = ELEMENTS) -> str:
    """Return counts by name: "6 H, 1 C"; the largest alone if there are more than ``most``."""
    if len(counts) <= most:
        return ", ".join(f"{count} {name}" for name, count in counts.items())
    largest = sorted(counts, key=lambda name: -counts[name])[:most]
    return (
        f"{counted({name: counts[name] for name in largest}, most)} and {len(counts) - most} more"
    )


def one_line(text: str) -> str:
    """Return a text on one line; characters that do not print, such as escapes, are spaces."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def shortened(text: str, width: int) -> str:
    """Return a text on a line of at most ``width`` characters, its middle left out if need be.

    A path ends with the file's name, and the name of a structure with its formula.
    """
    line = one_line(text)
    if len(line) <= width:
        return line
    tail = (width - 3) // 2
    return f"{line[: width - 3 - tail]}...{line[-tail:]}"


def first_words(text: str, width: int) -> str:
    """Return the beginning of a text, at most ``width`` characters on a line."""
    found = textwrap.shorten(one_line(text), width, placeholder=" ...")
    return shortened(text, width) if found == "..." else found
