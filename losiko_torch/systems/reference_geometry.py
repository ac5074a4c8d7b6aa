"""The geometries that structures should have, carried along with them to be compared with.

They are the per-atom array ``losiko_reference``, positions in Angstrom.
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

#: Array of the geometry that a structure should have.
REFERENCE = "losiko_reference"


def with_references(structures: Iterable[Atoms], references: Iterable[Atoms]) -> Iterator[Atoms]:
    """Structures that carry their references, which come in the same order.

    Where one has other atoms, or none is left, a structure goes without; a warning tells of it at
    the end.
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
    """How far the atoms are from their reference, root mean square, Angstrom; None without one.

    Of a molecule after the best superposition; of a periodic structure by the nearest images, a
    common shift aside.
    """
    if REFERENCE not in atoms.arrays:
        return None
    reference = atoms.arrays[REFERENCE]
    if not atoms.pbc.any():
        return rmsd(atoms, Atoms(atoms.numbers, reference))
    apart, _ = find_mic(atoms.positions - reference, atoms.cell, atoms.pbc)
    return float(np.sqrt(np.square(apart - apart.mean(axis=0)).sum(axis=1).mean()))
