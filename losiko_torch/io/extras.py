"""Entries and arrays of a structure that have no form of their own in a file of extended xyz.

They are kept together as JSON in one entry of ``info``, and put back where a file is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

#: Key of ``info`` for what has no form of its own.
EXTRAS = "losiko_extras"


#: Key of a database's row for the names of its data that are per-atom arrays.
ARRAYS = "losiko_arrays"


def printable(text: str) -> str:
    """Return text that every format can hold: halves of UTF-16's pairs stand as their codes."""
    return text.encode("utf-8", "backslashreplace").decode()


def plain(value: Any) -> Any:
    """Return a value in the types of JSON, as far as it is made of them, numpy's or Python's."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    return value.item() if isinstance(value, np.generic) else value


def restored(atoms: Atoms) -> Atoms:
    """Return a structure with its extras where they belong."""
    extras = atoms.info.pop(EXTRAS, None)
    if not isinstance(extras, dict):
        return atoms
    for key, value in extras.get("info", {}).items():
        atoms.info.setdefault(key, value)
    for name, values in extras.get("arrays", {}).items():
        if len(values) == len(atoms) and name not in atoms.arrays:
            atoms.arrays[name] = np.array(values)
    return atoms
