"""A database of ASE (SQLite), a row for each structure, with its numbers to select rows by.

Entries of ``info`` are the row's key-value pairs if ASE's rules allow it, which ``ase db`` selects
and sorts by. The others are in the row's data, and so are the per-atom arrays.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
from ase import Atoms
from ase.db.core import bytes_to_object, object_to_bytes
from ase.db.core import check as check_pairs

from losiko_torch.io.atomic import replacement
from losiko_torch.io.formats.interface import Add, Format
from losiko_torch.io.labels import labelled
from losiko_torch.results import Result


@contextmanager
def ase_database(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """Yield a function that adds structures with their numbers to a database of ASE.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    with (
        replacement(path, overwrite) as temporary,
        ase.db.connect(temporary, type="db", use_lock_file=False) as rows,
    ):

        def add(results: Sequence[Result]) -> None:
            for result in results:
                _write_row(rows, labelled(result))

        yield add


FORMAT = Format("db", (".db",), ase_database)


def _write_row(rows: Any, atoms: Atoms) -> None:
    """Write a row, and warn of what it cannot hold."""
    pairs: dict[str, Any] = {}
    data: dict[str, Any] = {}
    lost = []
    for key, value in atoms.info.items():
        value = _plain(value)
        if _is_pair(key, value):
            pairs[key] = value
        elif _is_data(key, value):
            data[str(key)] = value
        else:
            lost.append(f"info {key!r}")
    for key, values in atoms.arrays.items():
        if key in ("numbers", "positions"):
            continue
        values = _plain(values)
        if _is_data(key, values):
            data[key] = values
        else:
            lost.append(f"array {key!r}")
    if lost:
        warnings.warn(f"left out, as a database cannot hold it: {', '.join(lost)}", stacklevel=2)
    rows.write(atoms, key_value_pairs=pairs, data=data)


def _plain(value: Any) -> Any:
    """The value in types that ASE encodes: numbers, strings, lists, dictionaries, number arrays."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray) and value.dtype.kind not in "fiubc":
        # ASE writes an array of text, but cannot read it.
        return _plain(value.tolist())
    return value.item() if isinstance(value, np.generic) else value


def _is_pair(key: Any, value: Any) -> bool:
    try:
        check_pairs({key: value})
    except (ValueError, TypeError, AssertionError):
        return False
    return True


def _is_data(key: Any, value: Any) -> bool:
    """Return whether ASE encodes the value, and decodes what it encoded."""
    try:
        bytes_to_object(object_to_bytes({str(key): value}))
    except (ValueError, TypeError, AttributeError, AssertionError):
        return False
    return True
