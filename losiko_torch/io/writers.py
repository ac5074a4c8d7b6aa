"""Files of results, by suffix: extended xyz, a database of ASE, or a table (Parquet).

Each is written piece by piece, and appears whole or not at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import pyarrow.parquet as pq
from ase import Atoms
from ase.db.core import check as check_pairs

from losiko_torch.errors import InputError
from losiko_torch.io.atomic import replacement
from losiko_torch.io.extxyz import frame_of, labelled, replacing
from losiko_torch.io.read import read_structures
from losiko_torch.io.table import SCHEMA, table_of
from losiko_torch.results import Result

#: Adds results to a file.
Add = Callable[[Sequence[Result]], None]


@contextmanager
def extxyz_file(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """All that ``writing`` tells of."""
    with replacing(path, overwrite) as file:
        yield lambda results: file.writelines(map(frame_of, results))


@contextmanager
def ase_database(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """A row a structure, see ``_write_row``."""
    with _rows(path, overwrite) as rows:

        def add(results: Sequence[Result]) -> None:
            for result in results:
                _write_row(rows, labelled(result))

        yield add


@contextmanager
def parquet_file(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """The columns of ``result_table``."""
    with replacement(path, overwrite) as temporary, pq.ParquetWriter(temporary, SCHEMA) as file:
        yield lambda results: file.write_table(table_of(results))


WRITERS: dict[str, Callable[..., AbstractContextManager[Add]]] = {
    ".extxyz": extxyz_file,
    ".xyz": extxyz_file,
    ".db": ase_database,
    ".parquet": parquet_file,
}


def result_file(path: str | Path, overwrite: bool = False) -> AbstractContextManager[Add]:
    """What adds results to a file of the kind that its suffix tells.

    Raises:
        InputError: For another suffix; if it cannot be written, or exists without ``overwrite``:
            then what was written is kept beside it, under a name that the error tells.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise InputError(f"{path}: results are written to {', '.join(WRITERS)}: name it so")
    return WRITERS[path.suffix.lower()](path, overwrite)


def convert(structures: Path, table: Path, path: Path, overwrite: bool = False) -> None:
    """From results in extended xyz and their table to a file of any kind, by its suffix.

    Raises:
        InputError: As ``result_file`` does.
    """
    if path.suffix.lower() != ".db":
        with replacement(path, overwrite) as temporary:
            shutil.copyfile(table if path.suffix.lower() == ".parquet" else structures, temporary)
        return
    with _rows(path, overwrite) as rows:
        for atoms in read_structures(structures):
            _write_row(rows, atoms)


@contextmanager
def _rows(path: Path, overwrite: bool) -> Iterator[Any]:
    with (
        replacement(path, overwrite) as temporary,
        ase.db.connect(temporary, type="db", use_lock_file=False) as rows,
    ):
        yield rows


def _write_row(rows: Any, atoms: Atoms) -> None:
    """What its info says as key-value pairs, or else among its data, where its arrays are too."""
    pairs, data = _sorted_out(atoms.info)
    arrays = {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    rows.write(atoms, key_value_pairs=pairs, data=data | arrays)


def _sorted_out(info: dict[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ASE takes for key-value pairs, and the rest."""
    pairs, data = {}, {}
    for key, value in info.items():
        value = value.item() if isinstance(value, np.generic) else value
        try:
            check_pairs({key: value})
        except (ValueError, TypeError, AssertionError):
            data[str(key)] = value
        else:
            pairs[key] = value
    return pairs, data
