"""CIF: a data block for each structure, without symmetry, in input order."""

from __future__ import annotations

import io

from ase.io.cif import write_cif

from losiko_torch.io.formats.interface import Format
from losiko_torch.io.formats.left_out import (
    Tell,
    bare,
    beside_geometry,
    check_geometry,
    one_line,
)
from losiko_torch.io.formats.texts import file_of_texts
from losiko_torch.io.labels import labelled
from losiko_torch.results import Result
from losiko_torch.systems.names import source_of


def _block(result: Result, tell: Tell) -> str:
    atoms = labelled(result)
    check_geometry(atoms)
    text = io.BytesIO()
    write_cif(text, bare(atoms, tell), wrap=False)
    tell(beside_geometry(atoms))
    tell(f"constraint {type(each).__name__}" for each in atoms.constraints)
    _, _, rest = text.getvalue().decode("latin-1").partition("\n")
    title = one_line(source_of(atoms, result.number), result.reason)
    return f"# {title}\ndata_{result.number}\n{rest}\n"


FORMAT = Format("cif", (".cif",), file_of_texts("cif", _block))
