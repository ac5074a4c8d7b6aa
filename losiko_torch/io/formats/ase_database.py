"""A database of ASE (SQLite), a row for each structure, with its numbers to select rows by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ase.db

from losiko_torch.io.atomic import replacement
from losiko_torch.io.formats.interface import Add, Format
from losiko_torch.io.formats.left_out import left_out
from losiko_torch.io.formats.rows import row_of
from losiko_torch.io.labels import labelled
from losiko_torch.results import Result


@contextmanager
def ase_database(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """Yield a function that adds structures with their numbers to a database of ASE.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    with (
        left_out("a database") as tell,
        replacement(path, overwrite) as temporary,
        ase.db.connect(temporary, type="db", use_lock_file=False) as rows,
    ):

        def add(results: Sequence[Result]) -> None:
            for result in results:
                atoms = labelled(result)
                pairs, data, lost = row_of(atoms)
                rows.write(atoms, key_value_pairs=pairs, data=data)
                tell(lost)

        yield add


FORMAT = Format("db", (".db",), ase_database)
