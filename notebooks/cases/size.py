"""How much of a case is computed: what a notebook shows, or just enough to see that it runs."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

#: Set by the tests: every notebook from top to bottom in seconds.
QUICK = os.environ.get("LOSIKO_QUICK", "") not in ("", "0")


def sized(shown: T, quick: T) -> T:
    """The first of the two; the second where ``LOSIKO_QUICK`` is set."""
    return quick if QUICK else shown
