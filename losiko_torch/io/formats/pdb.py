"""PDB: a model for each structure, in input order, each under a remark with its outcome."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.proteindatabank import write_proteindatabank

from losiko_torch.io.atomic import replacing
from losiko_torch.io.formats.interface import Add, Format
from losiko_torch.io.formats.left_out import (
    Tell,
    bare,
    beside_geometry,
    check_geometry,
    left_out,
    one_line,
)
from losiko_torch.io.labels import labelled
from losiko_torch.results import Result
from losiko_torch.systems.names import source_of

#: Arrays that PDB has columns for.
COLUMNS = ("residuenames", "residuenumbers", "atomtypes", "occupancy", "bfactor")

#: Record of a structure without a cell.
NO_CELL = "CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1\n"


@contextmanager
def pdb_file(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """Yield a function that adds structures to a PDB file.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    with left_out("pdb") as tell, replacing(path, overwrite) as file:
        in_a_cell = False

        def add(results: Sequence[Result]) -> None:
            nonlocal in_a_cell
            for each in results:
                model = _model(each, tell)
                # A cell holds for what follows, until another one is written.
                if each.atoms.pbc.any():
                    in_a_cell = True
                elif in_a_cell:
                    file.write(NO_CELL)
                    in_a_cell = False
                file.write(model)

        yield add  # and no END: ASE takes it for the end of another, empty model


FORMAT = Format("pdb", (".pdb",), pdb_file)


def _model(result: Result, tell: Tell) -> str:
    atoms = labelled(result)
    check_geometry(atoms)
    if atoms.pbc.any() and atoms.cell.rank < 3:
        raise ValueError("its cell has fewer than three vectors")
    geometry = bare(atoms, tell)
    columns = {name: atoms.arrays[name] for name in COLUMNS if name in atoms.arrays}
    lines = _lines(geometry, columns)
    if not _aligned(lines):
        columns, lines = {}, _lines(geometry, {})  # names of residues or atoms that are too long
        if not _aligned(lines):
            raise ValueError("its coordinates do not fit into the columns of PDB")
    tell(name for name in beside_geometry(atoms) if name not in [f"array {c!r}" for c in columns])
    tell(f"constraint {type(each).__name__}" for each in atoms.constraints)
    head = f"REMARK   1 {one_line(source_of(atoms, result.number), result.reason)[:69]}\n"
    model = f"MODEL     {(result.number + 1) % 10000:4d}\n"
    return head + "".join(model if line.startswith("MODEL") else line for line in lines)


def _lines(atoms: Atoms, columns: dict[str, np.ndarray]) -> list[str]:
    copy = atoms.copy()
    copy.arrays |= columns
    text = io.StringIO()
    write_proteindatabank(text, copy)
    return text.getvalue().splitlines(keepends=True)


def _aligned(lines: list[str]) -> bool:
    return all(len(line) == 81 for line in lines if line.startswith("ATOM"))
