"""Molecules in periodic boxes, made whole: no bond of theirs crosses the boundary of the box."""

from __future__ import annotations

import warnings

import numpy as np
import vesin
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import complete_cell, find_mic
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from losiko_torch.systems.names import SOURCE
from losiko_torch.systems.validity import FARTHEST

#: Length of the longest bond that is looked for, in units of the sum of the covalent radii.
STRETCHED = 1.25


def whole_molecules(atoms: Atoms) -> Atoms:
    """Return a structure that is not periodic, with its molecules whole and next to each other.

    A molecule that the box cuts into parts is put together. Of several, each stands where it is
    nearest to the first. What is bonded to its own image, such as a crystal, stays as it is, with a
    warning.
    """
    if not atoms.pbc.any():
        return atoms
    cell = complete_cell(atoms.cell) if atoms.cell.rank else np.zeros((3, 3))
    found = atoms.copy()
    found.pbc = False
    periodic = atoms.cell.array[atoms.pbc]
    # Others are refused later, with the reason.
    within_reach = np.abs(np.r_[atoms.positions, atoms.cell.array]).max(initial=0) < FARTHEST
    usable = within_reach and np.linalg.matrix_rank(periodic, tol=1e-6) == len(periodic)
    if not len(atoms) or not usable:
        return found
    shifts, endless = _shifts_to_whole(atoms, cell)
    if endless:
        warnings.warn(
            f"{atoms.info.get(SOURCE, 'a structure')}: bonded to its own image, so that without "
            "periodicity its bonds through the boundary are cut",
            stacklevel=2,
        )
        return found
    found.set_positions(atoms.positions + shifts, apply_constraint=False)
    return found


def _shifts_to_whole(atoms: Atoms, cell: np.ndarray) -> tuple[np.ndarray, bool]:
    """Displacements of the atoms (n, 3), and whether some are bonded to their own images."""
    radii = STRETCHED * covalent_radii[np.clip(atoms.numbers, 0, len(covalent_radii) - 1)]
    search = vesin.NeighborList(cutoff=2 * radii.max(), full_list=True)
    first, second, apart, images = search.compute(
        atoms.positions, cell, atoms.pbc.tolist(), quantities="ijdS"
    )
    bonded = apart < radii[first] + radii[second]
    first, second, images = first[bonded], second[bonded], images[bonded]
    n = len(atoms)
    graph = csr_array((np.ones(len(first)), (first, second)), shape=(n, n))
    count, labels = connected_components(graph, directed=False)
    near = {(a, b): image for a, b, image in zip(first.tolist(), second.tolist(), images)}  # noqa: B905
    moved = np.zeros((n, 3), dtype=int)
    for molecule in range(count):
        start = int(np.flatnonzero(labels == molecule)[0])
        order, before = breadth_first_order(graph, start, directed=False)
        for atom in order[1:].tolist():
            origin = int(before[atom])
            moved[atom] = moved[origin] + near[origin, atom]
    # In a whole molecule every bond is one within it.
    endless = bool((moved[first] + images != moved[second]).any())
    shifts = moved @ cell
    if not endless:
        centres = np.array(
            [(atoms.positions + shifts)[labels == k].mean(axis=0) for k in range(count)]
        )
        nearest = find_mic(centres - centres[0], cell, atoms.pbc)[0]
        shifts += (centres[0] + nearest - centres)[labels]
    return shifts, endless
