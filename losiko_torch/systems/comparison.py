"""Differences between two geometries of the same atoms: RMSD, displacements, bonds and cells.

Molecules are superposed. In periodic structures each atom is compared with the nearest image, in
the cell of the first structure, after a common shift: a change of the cell alone moves no atom.
Bonds are pairs closer than ``BONDED`` times the sum of their covalent radii.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.geometry import complete_cell, find_mic
from ase.neighborlist import natural_cutoffs, neighbor_list
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from losiko_torch.errors import StructureError
from losiko_torch.systems.bonds import BONDED
from losiko_torch.systems.geometry import superposed
from losiko_torch.systems.names import SOURCE
from losiko_torch.systems.validity import check_structure

#: Keys of ``info`` by which structures of two files are matched, where all have different ones.
KEYS = ("name", "material_id", "id", "smiles", SOURCE)
#: Assignments of like atoms after which the search for a better one ends.
ROUNDS = 30

#: Bond: two atoms, and the cells from the first to the image of the second.
Bond = tuple[int, int, tuple[int, int, int]]


@dataclass(frozen=True)
class Difference:
    """Difference of a second structure from a first one; lengths in Angstrom.

    Attributes:
        rmsd: Root mean square of the displacements.
        largest: Largest displacement.
        atom: Index of the atom that it belongs to, in the first structure.
        bond_mean, bond_max: Mean and largest change of the lengths of bonds that both have; NaN
            without any.
        made, broken: Bonds that only the second or only the first structure has: "C0-H5", or
            "C0-C1@0,0,1" for the image in the next cell along c.
        volume: Change of the volume relative to the first; NaN unless periodic in all directions.
        lengths, angles: Largest change of a cell vector's length, and of an angle between two, in
            degrees; NaN where nothing is periodic.
    """

    rmsd: float
    largest: float
    atom: int
    bond_mean: float
    bond_max: float
    made: tuple[str, ...]
    broken: tuple[str, ...]
    volume: float
    lengths: float
    angles: float


def difference(first: Atoms, second: Atoms, permute: bool = False) -> Difference:
    """Return how a second structure differs from a first one of the same atoms.

    Args:
        first, second: The structures.
        permute: Whether like atoms may be exchanged, so that the RMSD is small: the best of some
            assignments, which need not be the best of all.

    Raises:
        StructureError: If the structures cannot be compared.
    """
    for which, atoms in (("first", first), ("second", second)):
        try:
            check_structure(atoms)
        except StructureError as error:
            raise StructureError(f"the {which} one: {error}") from None
    if (first.pbc != second.pbc).any():
        raise StructureError("they are periodic in different directions")
    _check_atoms(first, second, permute)
    if permute:
        second = _permuted(first, second)
    apart, placed = _apart(first, second)
    sizes = np.linalg.norm(apart, axis=1)
    before, after = _bonds(first), _bonds(placed)
    common = [bond for bond in before if bond in after]
    changes = np.abs([after[bond] - before[bond] for bond in common])
    symbols = first.get_chemical_symbols()
    return Difference(
        rmsd=float(np.sqrt(np.mean(sizes**2))),
        largest=float(sizes.max()),
        atom=int(sizes.argmax()),
        bond_mean=float(changes.mean()) if len(common) else np.nan,
        bond_max=float(changes.max()) if len(common) else np.nan,
        made=tuple(_name(bond, symbols) for bond in after if bond not in before),
        broken=tuple(_name(bond, symbols) for bond in before if bond not in after),
        **_cell_changes(first, second),
    )


def matched(
    firsts: Sequence[Atoms], seconds: Sequence[Atoms]
) -> tuple[list[tuple[Atoms | None, Atoms | None]], str]:
    """Return pairs of structures of two files, and what they are matched by: a key, or "order".

    A structure without a partner stands beside None.
    """
    for key in KEYS:
        ours, theirs = ([each.info.get(key) for each in some] for some in (firsts, seconds))
        if not (_tell_apart(ours) and _tell_apart(theirs) and set(ours) & set(theirs)):
            continue
        partners = dict(zip(theirs, seconds, strict=True))
        pairs = [(each, partners.pop(name, None)) for name, each in zip(ours, firsts, strict=True)]
        return [*pairs, *((None, each) for each in partners.values())], key
    count = max(len(firsts), len(seconds))
    padded = ([*some, *[None] * (count - len(some))] for some in (firsts, seconds))
    return list(zip(*padded, strict=True)), "order"


def _tell_apart(names: Sequence[object]) -> bool:
    told = all(isinstance(name, (str, int, np.integer)) and name != "" for name in names)
    return told and len(set(names)) == len(names)


def _check_atoms(first: Atoms, second: Atoms, permute: bool) -> None:
    if sorted(first.numbers) != sorted(second.numbers):
        raise StructureError(
            f"they have other atoms: {first.get_chemical_formula()} and "
            f"{second.get_chemical_formula()}"
        )
    if not permute and (first.numbers != second.numbers).any():
        raise StructureError("their atoms are in another order: exchange like ones (--permute)")


def _apart(first: Atoms, second: Atoms) -> tuple[np.ndarray, Atoms]:
    """Return displacements (n, 3), and the second structure with its atoms near the first's."""
    if not first.pbc.any():
        moved = superposed(second, first)
        return moved.positions - first.positions, second
    cell, other = complete_cell(first.cell), complete_cell(second.cell)
    here = np.linalg.solve(cell.T, first.positions.T).T
    there = np.linalg.solve(other.T, second.positions.T).T
    apart = _nearest((there - here) @ cell, cell, first.pbc)
    near = here + np.linalg.solve(cell.T, apart.T).T
    placed = Atoms(second.numbers, near @ other, cell=second.cell, pbc=second.pbc)
    # An atom that is half a cell away from its place is not, once all are shifted.
    for _ in range(2):
        apart = _nearest(apart - apart.mean(axis=0), cell, first.pbc)
    return apart - apart.mean(axis=0), placed


def _nearest(vectors: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    return find_mic(vectors, cell, pbc)[0]


def _bonds(atoms: Atoms) -> dict[Bond, float]:
    cutoffs = natural_cutoffs(atoms, mult=BONDED)
    first, second, length, shift = neighbor_list("ijdS", atoms, cutoffs)
    found = {}
    for i, j, d, s in zip(*map(np.ndarray.tolist, (first, second, length, shift)), strict=True):
        # Each bond once, from the lower atom, or the lower cell to its own image.
        if i < j or (i == j and tuple(s) > (0, 0, 0)):
            found[i, j, tuple(s)] = d
    return found


def _name(bond: Bond, symbols: Sequence[str]) -> str:
    i, j, shift = bond
    image = f"@{','.join(map(str, shift))}" if any(shift) else ""
    return f"{symbols[i]}{i}-{symbols[j]}{j}{image}"


def _cell_changes(first: Atoms, second: Atoms) -> dict[str, float]:
    unknown = dict.fromkeys(("volume", "lengths", "angles"), np.nan)
    if not first.pbc.any():
        return unknown
    ours, theirs = first.cell.cellpar(), second.cell.cellpar()
    changes = np.abs(theirs - ours)
    found = {"lengths": float(changes[:3].max()), "angles": float(changes[3:].max())}
    if first.pbc.all():
        found["volume"] = second.get_volume() / first.get_volume() - 1
    return unknown | found


def _permuted(first: Atoms, second: Atoms) -> Atoms:
    """Return the second structure with like atoms in the order that brings them nearest."""
    best, lowest = None, np.inf
    for start in _starts(first, second):
        order, before = start, None
        for _ in range(ROUNDS):
            apart, _ = _apart(first, second[order])
            places = first.positions + apart
            order = order[_assignment(first, places, first.numbers, second.numbers[order])]
            if before is not None and (order == before).all():
                break
            before = order
        size = float(np.square(_apart(first, second[order])[0]).sum())
        if size < lowest:
            best, lowest = order, size
    assert best is not None
    return second[best]


def _starts(first: Atoms, second: Atoms) -> Iterator[np.ndarray]:
    """Yield orders of the second structure's atoms to begin with."""
    if (first.numbers == second.numbers).all():
        yield np.arange(len(second))
    if first.pbc.any():
        near = complete_cell(second.cell)
        share = np.linalg.solve(near.T, second.positions.T).T
        yield _assignment(first, share @ complete_cell(first.cell), first.numbers, second.numbers)
        return
    ours, theirs = _principal(first), _principal(second)
    for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)):
        free = Atoms(first.numbers, ours)
        yield _assignment(free, theirs * signs, first.numbers, second.numbers)


def _principal(atoms: Atoms) -> np.ndarray:
    """Return positions along a right-handed set of principal axes, from the centre."""
    positions = atoms.positions - atoms.positions.mean(axis=0)
    axes = np.linalg.svd(positions)[2]
    return positions @ (axes * np.array([1, 1, np.linalg.det(axes)])[:, None]).T


def _assignment(
    first: Atoms, places: np.ndarray, numbers: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Return the order of atoms at places (n, 3) that brings them nearest to like ones."""
    order = np.zeros(len(numbers), dtype=int)
    for number in np.unique(numbers):
        ours, theirs = np.flatnonzero(numbers == number), np.flatnonzero(others == number)
        if first.pbc.any():
            vectors = places[theirs][None] - first.positions[ours][:, None]
            cell = complete_cell(first.cell)
            apart = _nearest(vectors.reshape(-1, 3), cell, first.pbc).reshape(vectors.shape)
            costs = np.square(apart).sum(axis=2)
        else:
            costs = cdist(first.positions[ours], places[theirs], "sqeuclidean")
        rows, columns = linear_sum_assignment(costs)
        order[ours[rows]] = theirs[columns]
    return order
