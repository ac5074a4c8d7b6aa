"""Models of PDB files, which ASE parses one by one.

A file is cut into models here, at ENDMDL and END. The cell and the transformation that stand above
the models hold for all of them. Where atoms have alternate locations a model is disordered.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ase import Atoms
from ase.io.proteindatabank import read_proteindatabank

from losiko_torch.errors import InputError
from losiko_torch.io.readers.interface import each_parsed
from losiko_torch.io.readers.text import opened
from losiko_torch.systems.names import UNREADABLE

ATOM = ("ATOM  ", "HETATM")
#: Records that hold for all models.
COMMON = ("CRYST1", "ORIGX")
#: Records that a file of models may end with.
LAST = ("ENDMDL", "END   ", "MASTER", "CONECT")
#: Records with numbers where an atom has its coordinates.
OTHERS = ("ANISOU", "SIG", "SCALE", "MTRIX", "REMARK", "TER", "CONECT", "MASTER", "SEQ", "CRYST")


def read_models(path: Path, frames: slice) -> Iterator[tuple[int, Atoms | InputError]]:
    """Read the chosen models of a file."""
    with opened(path) as file:
        yield from each_parsed(_models(file, path), _atoms_of, frames, "model")


def _models(file: TextIO, path: Path) -> Iterator[str | InputError]:
    common: dict[str, str] = {}
    atoms: list[str] = []
    number, problem, is_open = 0, "", False
    several, last = False, ""
    for line in file:
        record = line[:6].rstrip("\n").ljust(6)
        last = record if record.strip() else last
        several |= record.startswith("MODEL")
        if record.startswith(COMMON):
            common[record] = line
        elif record in ATOM:
            atoms.append(line)
        elif record.startswith(("END", "MODEL")):
            if atoms or problem:
                yield _model(number, common, atoms, problem)
                number += 1
            atoms, problem, is_open = [], "", record.startswith("MODEL")
        elif _is_atom(line):
            problem = problem or f"has an atom in a line that begins with '{record.strip()}'"
    if atoms or problem:
        yield _model(number, common, atoms, "is cut short (no ENDMDL)" if is_open else problem)
    elif several and last not in LAST:
        warnings.warn(
            f"{path}: ends with {last.strip()}, so that it may be cut short", stacklevel=2
        )


def _model(number: int, common: dict[str, str], atoms: list[str], problem: str) -> str | InputError:
    if problem:
        return InputError(f"model {number} {problem}")
    return "".join((*common.values(), *atoms, "END\n"))


def _is_atom(line: str) -> bool:
    """Return whether a line of an unknown record has coordinates."""
    fields = [line[k : k + 8].strip() for k in (30, 38, 46)]
    try:
        return all("." in each and float(each) < 1e6 for each in fields) and not line.startswith(
            OTHERS
        )
    except ValueError:
        return False


def _atoms_of(text: str) -> Atoms:
    lines = text.splitlines(keepends=True)
    short = next((line for line in lines if line.startswith(ATOM) and len(line.rstrip()) < 54), "")
    if short:
        raise InputError(f"'{short.strip()}' is cut short")
    kept = [line for line in lines if not (line.startswith("CRYST1") and _no_cell(line))]
    atoms = read_proteindatabank(io.StringIO("".join(kept)), index=0)
    places = sorted({line[16] for line in lines if line.startswith(ATOM)} - {" "})
    if len(places) > 1:
        atoms.info[UNREADABLE] = (
            f"it is disordered: keep one of the alternate locations {', '.join(places)}"
        )
    return atoms


def _no_cell(line: str) -> bool:
    """Return whether the cell is empty, as of programs that have none to write."""
    lengths = [line[k : k + 9] for k in (6, 15, 24)]
    try:
        return all(float(each or 0) == 0 for each in lengths)
    except ValueError:
        return not any(each.strip() for each in lengths)
