"""Checks of numbers that callers give: Python's and NumPy's alike, and never a bool."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from losiko_torch.errors import InputError


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return an integer from ``least`` on, or raise ``InputError``."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} must be an integer from {least} on, not {value!r}")
    return int(value)


def positive(name: str, value: Any) -> float:
    """Return a finite number above 0 as a float, or raise ``InputError``."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 < float(value) < math.inf:
        raise InputError(f"{name} must be positive, not {value!r}")
    return float(value)


def finite(name: str, value: Any) -> float:
    """Return a finite number as a float, or raise ``InputError``."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not math.isfinite(float(value)):
        raise InputError(f"{name} must be a finite number, not {value!r}")
    return float(value)
