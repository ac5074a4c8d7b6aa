"""Size of a case: all that a notebook shows, or just enough to see that it runs."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

#: True in tests, which run every notebook from top to bottom in seconds.
QUICK = os.environ.get("LOSIKO_QUICK", "") not in ("", "0")


def sized(shown: T, quick: T) -> T:
    """Return ``shown``, or ``quick`` where ``LOSIKO_QUICK`` is set."""
    return quick if QUICK else shown
