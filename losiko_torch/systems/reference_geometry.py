"""Reference geometries that relaxed structures are compared with.

A structure carries its reference geometry as the per-atom array ``losiko_reference``, positions in
Angstrom.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import zip_longest

import numpy as np
from ase import Atoms
from ase.geometry import find_mic

from losiko_torch.systems.geometry import rmsd
from losiko_torch.systems.names import source_of

#: Per-atom array of the reference geometry (Angstrom).
REFERENCE = "losiko_reference"


def with_references(structures: Iterable[Atoms], references: Iterable[Atoms]) -> Iterator[Atoms]:
    """Yield structures that carry their reference geometries, which are in the same order.

    A structure whose reference has other atoms, or is missing, carries none. A warning at the end
    names the first such structure and counts the others.
    """
    missing: list[str] = []
    too_many = 0
    for number, (atoms, reference) in enumerate(zip_longest(structures, references)):
        if atoms is None:
            too_many += 1
            continue
        if reference is not None and np.array_equal(atoms.numbers, reference.numbers):
            atoms.set_array(REFERENCE, reference.positions)
        else:
            missing.append(source_of(atoms, number))
        yield atoms
    if missing:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        warnings.warn(f"without a reference of the same atoms: {missing[0]}{more}", stacklevel=2)
    if too_many:
        warnings.warn(f"{too_many:,} references belong to no structure", stacklevel=2)


def deviation(atoms: Atoms) -> float | None:
    """Return the RMSD (Angstrom) of a structure from its reference geometry; None without one.

    A molecule is superposed first. In a periodic structure, each atom is compared with the nearest
    image, after a common shift.
    """
    if REFERENCE not in atoms.arrays:
        return None
    reference = atoms.arrays[REFERENCE]
    if not atoms.pbc.any():
        return rmsd(atoms, Atoms(atoms.numbers, reference))
    apart, _ = find_mic(atoms.positions - reference, atoms.cell, atoms.pbc)
    return float(np.sqrt(np.square(apart - apart.mean(axis=0)).sum(axis=1).mean()))
