"""Checks that refuse structures which no descriptor can describe, with a reason."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from losiko_torch.errors import StructureError
from losiko_torch.systems.names import UNREADABLE
from losiko_torch.systems.neighbors import close_pairs

#: Interatomic distance in Angstrom below which two atoms are a mistake in the input: the shortest
#: bond in nature, H2, is 0.74 A.
COINCIDENCE = 0.1
#: Coordinate in Angstrom beyond which it is a mistake: float32 would round it by more than 0.001 A,
#: and cell lists cannot span it.
FARTHEST = 1e4
#: Difference from 1 that is rounding of a site's occupancy.
ROUNDED = 0.002


def check_structure(atoms: Atoms) -> None:
    """Raise ``StructureError`` for a structure that no descriptor can describe."""
    if UNREADABLE in atoms.info:
        raise StructureError(atoms.info[UNREADABLE])
    if len(atoms) == 0:
        raise StructureError("it has no atoms")
    if not np.isfinite(atoms.positions).all():
        bad = int(np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))[0])
        raise StructureError(f"atom {bad} has a coordinate that is not a finite number")
    if np.abs(atoms.positions).max() > FARTHEST:
        bad = int(np.abs(atoms.positions).max(axis=1).argmax())
        raise StructureError(f"atom {bad} has a coordinate beyond {FARTHEST:.0f} A")
    if not np.isfinite(atoms.cell.array).all():
        raise StructureError("its cell has an entry that is not a finite number")
    if np.abs(atoms.cell.array).max() > FARTHEST:
        raise StructureError(f"its cell has an entry beyond {FARTHEST:.0f} A")
    no_element = (atoms.numbers < 1) | (atoms.numbers >= len(chemical_symbols))
    if no_element.any():
        bad = int(np.flatnonzero(no_element)[0])
        raise StructureError(
            f"atom {bad} (atomic number {atoms.numbers[bad]}) is not a chemical element"
        )
    _check_order(atoms)
    if atoms.pbc.any():
        _check_cell(atoms)
    _check_coincidence(atoms)


def _check_order(atoms: Atoms) -> None:
    """Raise ``StructureError`` where ASE's reader of cif noted that a site is partly occupied."""
    noted = atoms.info.get("occupancy")
    sites = noted.values() if isinstance(noted, dict) else ()
    for site in sites:
        if isinstance(site, dict) and not _is_whole(site):
            shares = ", ".join(f"{symbol} {share}" for symbol, share in site.items())
            raise StructureError(
                f"it is disordered: give an ordered approximation of it (a site holds {shares})"
            )


def _is_whole(site: dict) -> bool:
    try:
        shares = [float(share) for share in site.values() if float(share) != 0]
    except (TypeError, ValueError):
        return False
    return len(shares) == 1 and abs(shares[0] - 1) <= ROUNDED


def _check_cell(atoms: Atoms) -> None:
    periodic = atoms.cell.array[atoms.pbc]
    shortest = np.linalg.norm(periodic, axis=1).min()
    if 0 < shortest < COINCIDENCE:
        raise StructureError(f"its cell has a vector of {shortest:.2g} A, shorter than any bond")
    # The Gram determinant is the squared volume (area, length) spanned by the periodic vectors.
    if np.sqrt(max(np.linalg.det(periodic @ periodic.T), 0.0)) < 1e-6:
        raise StructureError(
            "it is periodic but its periodic cell vectors span no volume: set a cell, or pbc=False"
        )


def _check_coincidence(atoms: Atoms) -> None:
    first, second = close_pairs(atoms, COINCIDENCE)
    if len(first):
        raise StructureError(
            f"atoms {first[0]} and {second[0]} lie within {COINCIDENCE} A of each other"
        )
