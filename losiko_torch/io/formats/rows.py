"""Rows of ASE's databases and trajectories: what of a structure they can hold, and where.

Entries of ``info`` are a row's key-value pairs if ASE's rules allow it, which ``ase db`` selects
and sorts by. The others are in the row's data, and so are the per-atom arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.db.core import bytes_to_object, object_to_bytes
from ase.db.core import check as check_pairs

from losiko_torch.io.extras import ARRAYS, plain, printable


def row_of(atoms: Atoms) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Return a structure's key-value pairs, its data, and names of what is neither."""
    pairs: dict[str, Any] = {}
    data: dict[str, Any] = {}
    lost, arrays = [], []
    for key, value in atoms.info.items():
        value = encodable(value)
        if is_pair(key, value):
            pairs[key] = value
        elif is_data(key, value):
            data[str(key)] = value
        else:
            lost.append(f"info {key!r}")
    for key, values in atoms.arrays.items():
        if key in ("numbers", "positions"):
            continue
        values = encodable(values)
        if is_data(key, values):
            data[key] = values
            arrays.append(key)
        else:
            lost.append(f"array {key!r}")
    return pairs, data | {ARRAYS: arrays}, lost


def encodable(value: Any) -> Any:
    """Return a value in types that ASE encodes: those of JSON, and arrays of numbers."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiubc":
        return value
    if isinstance(value, dict):
        return {str(key): encodable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [encodable(entry) for entry in value]
    if isinstance(value, str):
        return printable(value)
    # ASE writes an array of text, but cannot read it.
    return plain(value)


def is_pair(key: Any, value: Any) -> bool:
    """Return whether ASE's rules allow a key-value pair."""
    try:
        check_pairs({key: value})
    except (ValueError, TypeError, AssertionError):
        return False
    return True


def is_data(key: Any, value: Any) -> bool:
    """Return whether ASE encodes the value, and decodes what it encoded."""
    try:
        bytes_to_object(object_to_bytes({str(key): value}))
    except (ValueError, TypeError, AttributeError, AssertionError):
        return False
    return True
