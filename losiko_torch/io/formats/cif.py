"""CIF: a data block for each structure, without symmetry, in input order."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ase import Atoms
from ase.io.cif import write_cif

from losiko_torch.io.atomic import replacing
from losiko_torch.io.formats.interface import Add, Format
from losiko_torch.io.formats.left_out import (
    Tell,
    beside_geometry,
    check_geometry,
    left_out,
    one_line,
)
from losiko_torch.io.labels import labelled
from losiko_torch.results import Result
from losiko_torch.systems.names import source_of


@contextmanager
def cif_file(path: Path, overwrite: bool = False) -> Iterator[Add]:
    """Yield a function that adds structures to a CIF file.

    Raises:
        InputError: As in ``losiko_torch.io.atomic.replacement``.
    """
    with left_out("cif") as tell, replacing(path, overwrite) as file:

        def add(results: Sequence[Result]) -> None:
            file.writelines([_block(each, tell) for each in results])

        yield add


FORMAT = Format("cif", (".cif",), cif_file)


def _block(result: Result, tell: Tell) -> str:
    atoms = labelled(result)
    check_geometry(atoms)
    bare = Atoms(atoms.numbers, atoms.positions)
    if atoms.pbc.any():
        bare.set_cell(atoms.cell)
        bare.pbc = True
        if not atoms.pbc.all():
            tell(["that a direction is not periodic"])
    text = io.BytesIO()
    write_cif(text, bare, wrap=False)
    tell(beside_geometry(atoms))
    tell(f"constraint {type(each).__name__}" for each in atoms.constraints)
    _, _, rest = text.getvalue().decode("latin-1").partition("\n")
    title = one_line(source_of(atoms, result.number), result.reason)
    return f"# {title}\ndata_{result.number}\n{rest}\n"
