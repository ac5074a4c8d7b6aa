"""Filters of structures by their ``info``, or by their records in a database."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from ase import Atoms

from losiko_torch.errors import InputError

Filter = Callable[[Atoms], bool]


def parse_filter(text: str) -> Filter:
    """Return a test of ``atoms.info`` from a text: ``e_above_hull<0.2``, ``formula==SiO2``.

    Quotes around the value make it a string. A structure without the key does not pass.

    Raises:
        InputError: If the text is no such comparison.
    """
    passes = parse_record_filter(text)
    return lambda atoms: passes(atoms.info)


def parse_record_filter(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return the test of ``parse_filter`` for a dictionary, such as the record of a structure."""
    match = re.fullmatch(r"\s*([^<>=!\s]+)\s*(<=|>=|==|!=|<|>)\s*([^<>=!\s].*?)\s*", text)
    if match is None:
        raise InputError(f"filter '{text}' is not of the form key<value (or <=, >, >=, ==, !=)")
    key, sign, wanted = match.groups()
    compare = _COMPARISONS[sign]
    quoted = re.fullmatch(r"(['\"])(.*)\1", wanted)
    wanted = quoted[2] if quoted else wanted
    number = None if quoted else _as_number(wanted)
    if number is None and sign not in ("==", "!="):
        raise InputError(f"filter '{text}': '{wanted}' is not a number")

    def passes(record: Mapping[str, Any]) -> bool:
        if key not in record:
            return False
        value = _as_number(record[key])
        if number is not None and value is not None:
            return bool(compare(value, number))
        return sign in ("==", "!=") and bool(compare(str(record[key]), wanted))

    return passes


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def _as_number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
