"""Differences between two structures of the same atoms: RMSD and bond lengths."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import natural_cutoffs, neighbor_list

from losiko_torch.errors import StructureError


def rmsd(atoms: Atoms, reference: Atoms) -> float:
    """Return the RMSD (Angstrom) of two molecules after superposition; atoms correspond by index.

    Raises:
        StructureError: If the two do not have the same atoms in the same order.
    """
    apart = superposed(atoms, reference).positions - reference.positions
    return float(np.sqrt(np.square(apart).sum(axis=1).mean()))


def superposed(atoms: Atoms, reference: Atoms) -> Atoms:
    """Return a copy that is shifted and rotated onto another structure, by Kabsch's algorithm.

    Raises:
        StructureError: If the two do not have the same atoms in the same order.
    """
    _check_same(atoms, reference)
    moved = atoms.copy()
    moved.positions -= atoms.positions.mean(axis=0)
    centre = reference.positions.mean(axis=0)
    # Not by scipy's align_vectors: it warns of linear molecules, whose rotation is undetermined
    # though the RMSD is not, and ignoring that would ignore warnings of other threads as well.
    left, _, right = np.linalg.svd(moved.positions.T @ (reference.positions - centre))
    left[:, 2] *= np.sign(np.linalg.det(left @ right))
    moved.positions = moved.positions @ left @ right + centre
    return moved


def bond_errors(atoms: Atoms, reference: Atoms) -> np.ndarray:
    """Return absolute differences (Angstrom) of the lengths of the bonds that ``reference`` has.

    A bond is a pair closer than 1.2 times the sum of its covalent radii (Cordero et al., Dalton
    Trans. 2832, 2008, through ASE).

    Raises:
        StructureError: If the two do not have the same atoms in the same order.
    """
    _check_same(atoms, reference)
    cutoffs = natural_cutoffs(reference, mult=1.2)
    first, second, length, shift = neighbor_list("ijdS", reference, cutoffs)
    vectors = atoms.positions[second] - atoms.positions[first] + shift @ atoms.cell.array
    forward = np.array([tuple(cells) > (0, 0, 0) for cells in shift], dtype=bool)
    once = (first < second) | ((first == second) & forward)
    return np.abs(np.linalg.norm(vectors, axis=1) - length)[once]


def _check_same(atoms: Atoms, reference: Atoms) -> None:
    if len(atoms) != len(reference) or (atoms.numbers != reference.numbers).any():
        raise StructureError("the two structures do not have the same atoms in the same order")
