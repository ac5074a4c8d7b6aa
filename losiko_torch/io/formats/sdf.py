"""SDF (V2000): molecules with the bonds that they were read with, and numbers as properties.

Everything in ``info`` and every array is a property, as text or JSON.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from ase import Atoms

from losiko_torch.io.extras import plain
from losiko_torch.io.formats.interface import Format
from losiko_torch.io.formats.left_out import Tell, check_geometry
from losiko_torch.io.formats.texts import file_of_texts
from losiko_torch.io.labels import labelled
from losiko_torch.results import Result
from losiko_torch.systems.names import BONDS

#: Most atoms, and most bonds, that V2000 has columns for.
MOST = 999
#: Charges, or lines of properties, in a line.
PER_LINE = 8


def _record(result: Result, tell: Tell) -> str:
    atoms = labelled(result)
    check_geometry(atoms)
    bonds = bonds_of(atoms)
    if max(len(atoms), len(bonds)) > MOST:
        raise ValueError(f"V2000 has columns for {MOST} atoms and bonds")
    if np.abs(atoms.positions).max() >= 99999:
        raise ValueError("its coordinates do not fit into the columns of V2000")
    if atoms.pbc.any():
        tell(["cells"])
    if not len(bonds) and len(atoms) > 1:
        tell(["bonds, which are not known of some structures"])
    tell(f"constraint {type(each).__name__}" for each in atoms.constraints)
    symbols = [each if each != "X" else "*" for each in atoms.get_chemical_symbols()]
    lines = [
        _text(atoms.info.get("name", ""))[:80].replace("\n", " "),
        "  losiko-torch      3D",
        "",
    ]
    lines.append(f"{len(atoms):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000")
    for symbol, (x, y, z) in zip(symbols, atoms.positions, strict=True):
        lines.append(f"{x:10.4f}{y:10.4f}{z:10.4f} {symbol:3s} 0" + "  0" * 11)
    lines += [f"{a + 1:3d}{b + 1:3d}{order:3d}  0" for a, b, order in bonds]
    lines += _charges(atoms)
    lines.append("M  END")
    beside = {key: value for key, value in atoms.info.items() if key not in (BONDS, "name")}
    own = ("numbers", "positions", "initial_charges")
    beside |= {key: value for key, value in atoms.arrays.items() if key not in own}
    for key, value in beside.items():
        name = "".join(" " if each in "<>\n\r" else each for each in str(key)).strip()
        try:
            text = _text(value)
        except TypeError:
            tell([f"{key!r}"])
            continue
        # An empty line ends a property.
        text = "\n".join(line for line in text.splitlines() if line.strip())
        lines += [f"> <{name}>", text.replace("$$$$", "$ $$$"), ""] if text else [f"> <{name}>", ""]
    return "\n".join([*lines, "$$$$", ""])


def bonds_of(atoms: Atoms) -> np.ndarray:
    """Return the bonds of a structure that was read with bonds, shape (m, 3), else none."""
    none = np.zeros((0, 3), dtype=int)
    try:
        bonds = np.array(atoms.info.get(BONDS, none))
    except ValueError:
        return none
    if bonds.ndim != 2 or bonds.shape[1] != 3 or bonds.dtype.kind not in "iu" or not len(bonds):
        return none
    fits = bonds[:, :2].min() >= 0 and bonds[:, :2].max() < len(atoms)
    return bonds if fits and bonds[:, 2].min() > 0 and bonds[:, 2].max() < 100 else none


def _charges(atoms: Atoms) -> list[str]:
    charges = [(k + 1, round(q)) for k, q in enumerate(atoms.get_initial_charges()) if round(q)]
    rows = [charges[k : k + PER_LINE] for k in range(0, len(charges), PER_LINE)]
    return [f"M  CHG{len(row):3d}" + "".join(f" {k:3d} {q:3d}" for k, q in row) for row in rows]


def _text(value: Any) -> str:
    """Return a value as text; raise ``TypeError`` where it has none."""
    value = plain(value)
    return value if isinstance(value, str) else json.dumps(value)


FORMAT = Format("sdf", (".sdf",), file_of_texts("sdf", _record))
