"""The file of the built-in database: flat arrays, readable without pickle."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from candidate import kind_of
from choose import ELEMENTS
from relax import FMAX

from losiko_torch.database.builtin import builtin_structures

UNIT = 1e-4  # angstrom; the relaxations end farther from the minimum than that


@dataclass(frozen=True)
class Structure:
    """A relaxed molecule, ion or complex, with its total charge and its kind, one word."""

    smiles: str
    numbers: np.ndarray
    positions: np.ndarray
    charge: int
    kind: str


def read(path: Path) -> list[Structure]:
    """The structures of a file, this edition's or an older one."""
    return [
        Structure(
            atoms.info["smiles"],
            atoms.numbers,
            atoms.positions,
            atoms.info.get("charge", 0),
            kind_of(atoms.info["smiles"]),
        )
        for atoms in builtin_structures(path)
    ]


def write(structures: list[Structure], seed: int, path: Path) -> None:
    """Write the structures in the order given."""
    sizes = [len(one.numbers) for one in structures]
    metadata = {
        "title": f"Organic molecules, ions and complexes of {', '.join(ELEMENTS.values())} "
        "for losiko-torch",
        "level_of_theory": f"GFN2-xTB, fmax {FMAX} eV/A, gas phase",
        "versions": {name: version(name) for name in ("rdkit", "tblite", "ase", "dscribe")},
        "elements": list(ELEMENTS.values()),
        "n_molecules": len(structures),
        "n_atoms": sum(sizes),
        "limits": "no metals, noble gases, radicals, carbenes, transition states",
        "licence": "CC0",
        "made_by": "scripts/builtin_database",
        "seed": seed,
        "date": datetime.date.today().isoformat(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        id=np.arange(1, len(structures) + 1, dtype=np.int32),
        n_atoms=np.array(sizes, dtype=np.uint8),
        Z=np.concatenate([one.numbers for one in structures]).astype(np.uint8),
        R=np.rint(np.concatenate([one.positions for one in structures]) / UNIT).astype(np.int32),
        R_unit=np.array(UNIT),
        offsets=np.cumsum([0, *sizes], dtype=np.int32),
        charge=np.array([one.charge for one in structures], dtype=np.int8),
        smiles=lines(one.smiles for one in structures),
        kind=lines(one.kind for one in structures),
        metadata=np.frombuffer(json.dumps(metadata).encode(), dtype=np.uint8),
    )
    partial.replace(path)


def lines(words: Iterable[str]) -> np.ndarray:
    """Words as UTF-8 bytes, one a line."""
    return np.frombuffer("\n".join(words).encode(), dtype=np.uint8)
