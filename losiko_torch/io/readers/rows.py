"""Rows of ASE's databases, with the key-value pairs in ``info``, which ``ase.io`` leaves out.

The data of a row that this package wrote become arrays and entries of ``info`` again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
from ase import Atoms

from losiko_torch.errors import InputError
from losiko_torch.io.extras import ARRAYS
from losiko_torch.io.readers.interface import reason_of, select

#: Suffixes of databases in LMDB.
LMDB = (".aselmdb", ".lmdb")


def read_rows(path: Path, frames: slice) -> Iterator[tuple[int, Atoms | InputError]]:
    """Read the chosen rows of a database."""
    how = {"type": "aselmdb", "readonly": True} if path.suffix in LMDB else {}
    try:
        opened = ase.db.connect(path, serial=True, **how)
    except ImportError:
        raise InputError(
            "an LMDB database, which ASE reads with ase-db-backends: pip install ase-db-backends"
        ) from None
    with opened as rows:
        for number, row in select(rows.select(), frames):
            try:
                atoms = row.toatoms()
                atoms.info.update(row.key_value_pairs)
                _add_data(atoms, dict(row.data))
            except Exception as error:  # a damaged row raises errors of many kinds
                yield number, InputError(f"row {number} cannot be read ({reason_of(error)})")
                continue
            yield number, atoms


def _add_data(atoms: Atoms, data: dict[str, Any]) -> None:
    names = data.pop(ARRAYS, None)
    if names is None:  # of another program, and perhaps large
        return
    for name, values in data.items():
        if name not in names:
            atoms.info.setdefault(name, values)
        elif name not in atoms.arrays and len(values) == len(atoms):
            atoms.arrays[name] = np.asarray(values)
