"""Records of SDF files: geometry, name, bonds, charges and properties.

V2000 is read here, and V3000 by RDKit where it is installed. Bonds are ``info["bonds"]``, rows of
two atoms (from 0) and the order, and the title is ``info["name"]``; formal charges are the initial
charges. Each property is an entry of ``info``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from losiko_torch.errors import InputError
from losiko_torch.io.readers.interface import each_parsed
from losiko_torch.io.readers.text import opened
from losiko_torch.systems.names import BONDS

END = "$$$$"
#: Suffixes of files of one molecule, which need no end.
SINGLE = (".mol", ".mdl")
#: Charges by the number in an atom's line.
CHARGES = {1: 3, 2: 2, 3: 1, 5: -1, 6: -2, 7: -3}
#: Hydrogen's isotopes by name.
ISOTOPES = {"D": "H", "T": "H"}


def read_records(path: Path, frames: slice) -> Iterator[tuple[int, Atoms | InputError]]:
    """Read the chosen records of a file."""
    with opened(path) as file:
        yield from each_parsed(_records(file, path), _atoms_of, frames, "record")


def _records(file: TextIO, path: Path) -> Iterator[str]:
    lines: list[str] = []
    for line in file:
        if line.startswith(END):
            yield "".join(lines)
            lines = []
        else:
            lines.append(line)
    if any(line.strip() for line in lines):
        if path.suffix.lower() not in SINGLE:
            warnings.warn(f"{path}: ends without {END}, so that it may be cut short", stacklevel=2)
        yield "".join(lines)


def _atoms_of(text: str) -> Atoms:
    lines = text.split("\n")
    counts = next((k for k, line in enumerate(lines[:8]) if re.search("V[23]000", line)), 3)
    if counts >= len(lines):
        raise InputError("it is cut short: it has no line of counts")
    end = next((k for k, line in enumerate(lines) if line.startswith("M  END")), len(lines) - 1)
    if any(re.search(r"^M  END|V[23]000\s*$", line) for line in lines[end + 1 :]):
        raise InputError(f"two molecules without {END} between them")
    if "V3000" in lines[counts]:
        atoms = _of_v3000("\n".join(lines[: end + 1]))
    else:
        atoms = _of_v2000(lines[counts : end + 1])
    title = lines[counts - 3].strip() if counts >= 3 else ""
    if title:
        atoms.info["name"] = title
    return _with_properties(atoms, lines[end + 1 :])


def _of_v2000(lines: list[str]) -> Atoms:
    n_atoms, n_bonds = (int(lines[0][k : k + 3]) for k in (0, 3))
    if min(n_atoms, n_bonds) < 0 or len(lines) < 1 + n_atoms + n_bonds:
        raise InputError(f"it is cut short: {n_atoms} atoms and {n_bonds} bonds are announced")
    rows = [_atom(line) for line in lines[1 : 1 + n_atoms]]
    bonds = [
        [int(line[k : k + 3]) for k in (0, 3, 6)]
        for line in lines[1 + n_atoms : 1 + n_atoms + n_bonds]
    ]
    rest = lines[1 + n_atoms + n_bonds :]
    charges = {k: charge for k, (*_, charge) in enumerate(rows) if charge}
    stated = [line.split()[3:] for line in rest if line.startswith("M  CHG")]
    if stated:
        charges = {int(a) - 1: int(c) for row in stated for a, c in zip(row[::2], row[1::2])}  # noqa: B905
    unknown = [line for line in rest if line.strip() and line[:3] not in ("M  ", "A  ", "V  ")]
    if unknown and not any(line.startswith(("A  ", "G  ")) for line in rest):
        raise InputError(f"it has a line '{unknown[0].strip()[:40]}' more than is announced")
    symbols, positions = [row[0] for row in rows], [row[1] for row in rows]
    return _molecule(symbols, positions, bonds, charges)


def _atom(line: str) -> tuple[str, list[float], int]:
    """Return symbol, position and charge; fields are columns, or words where they are not."""
    fields = [line[k : k + 10] for k in (0, 10, 20)]
    symbol, charge = line[31:34].strip(), line[36:39]
    try:
        position = [float(each) for each in fields]
        if not symbol or not (symbol[0].isalpha() or symbol == "*"):
            raise ValueError
    except ValueError:
        *words, symbol = line.split()[:4]
        position, charge = [float(each) for each in words], ""
        if len(position) != 3:
            raise InputError(f"'{line.strip()}' is no atom") from None
    return symbol, position, CHARGES.get(int(charge), 0) if charge.strip() else 0


def _of_v3000(block: str) -> Atoms:
    try:
        from rdkit import Chem, rdBase
    except ImportError:
        raise InputError("V3000, which is read with RDKit: pip install rdkit") from None
    with rdBase.BlockLogs():
        found = Chem.MolFromMolBlock(block, sanitize=False, removeHs=False, strictParsing=False)
    if found is None or not found.GetNumConformers():
        raise InputError("RDKit cannot read it")
    orders = {Chem.BondType.AROMATIC: 4}
    bonds = [
        [
            each.GetBeginAtomIdx() + 1,
            each.GetEndAtomIdx() + 1,
            orders.get(each.GetBondType(), int(each.GetBondTypeAsDouble())),
        ]
        for each in found.GetBonds()
    ]
    atoms: Any = list(found.GetAtoms())
    charges = {k: each.GetFormalCharge() for k, each in enumerate(atoms) if each.GetFormalCharge()}
    symbols = [each.GetSymbol() for each in atoms]
    return _molecule(symbols, found.GetConformer().GetPositions(), bonds, charges)


def _molecule(
    symbols: list[str], positions: Any, bonds: list[list[int]], charges: dict[int, int]
) -> Atoms:
    names = [ISOTOPES.get(each, each) for each in symbols]
    # Dummy atoms, R groups and lists of elements are no elements, which is told where they matter.
    atoms = Atoms([each if each in atomic_numbers else "X" for each in names], positions)
    if bonds:
        table = np.array(bonds)
        table[:, :2] -= 1
        if table[:, :2].min() < 0 or table[:, :2].max() >= len(atoms):
            raise InputError("a bond names an atom that it does not have")
        atoms.info[BONDS] = table
    if charges:
        atoms.set_initial_charges([charges.get(k, 0) for k in range(len(atoms))])
    return atoms


def _with_properties(atoms: Atoms, lines: list[str]) -> Atoms:
    """Add the entries ``> <KEY>``, lines of text and an empty one."""
    key: str | None = None
    values: list[str] = []
    for line in [*lines, ""]:
        header = re.match(r">.*?<([^>]+)>", line)
        if key is None and header:
            key = header[1]
        elif key is not None and not line.strip():
            atoms.info[key] = _value("\n".join(values))
            key, values = None, []
        elif key is not None:
            values.append(line.rstrip())
    return atoms


def _value(text: str) -> str | int | float:
    """Return a number where the text is one that is written like that."""
    if re.fullmatch(r"-?(?:0|[1-9]\d{0,17})", text):
        return int(text)
    return float(text) if re.fullmatch(r"[-+]?\d+\.\d*(?:[eE][-+]?\d+)?", text) else text
