"""Symmetry of molecules: flat or linear ones, and ones with equivalent atoms, many at once.

``is_symmetric`` looks at one molecule. For thousands ``are_symmetric`` first clears those that
cannot be: their atoms lie around the center of all at distances that differ too much. The others
are looked at one by one, so that both agree.

Equivalent atoms i and j have the same distances to all others within ``SAME``, k by k once sorted:

    | sum_k d_ik^2 - sum_k d_jk^2 | <= SAME sum_k (d_ik + d_jk)

With R_i the distance from the center and M the mean of its squares, sum_k d_ik^2 = n (R_i^2 + M),
and sum_k d_ik <= n sqrt(R_i^2 + M). So R_i^2 and R_j^2 differ by no more than
SAME (sqrt(R_i^2 + M) + sqrt(R_j^2 + M)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

#: Deviation in Angstrom up to which a molecule counts as flat, and atoms as equivalent.
SAME = 1e-3
#: Atoms of a molecule up to which symmetry is looked for.
MOST_ATOMS = 1000
#: What is cleared misses the limits by this factor: more than rounding makes, or the reach of an
#: atom a little farther out.
MARGIN = 1.1


def is_symmetric(atoms: Atoms) -> bool:
    """Return whether a molecule is flat, or linear, or has two equivalent atoms of one element.

    Of molecules of many atoms the answer is no.
    """
    if not 3 <= len(atoms) <= MOST_ATOMS or atoms.pbc.any():
        return False
    centered = atoms.positions - atoms.positions.mean(0)
    # Three atoms are always in a plane.
    thinnest = np.linalg.svd(centered, compute_uv=False)[1 if len(atoms) == 3 else 2]
    if thinnest < SAME * len(atoms) ** 0.5:
        return True
    # Equivalent atoms have the same distances to all others: the same sum, which most have not.
    apart = cdist(centered, centered)
    sums = apart.sum(axis=1)
    order = np.lexsort((sums, atoms.numbers))
    numbers, gaps = atoms.numbers[order], np.diff(sums[order])
    likely = (numbers[1:] == numbers[:-1]) & (gaps <= SAME * len(atoms))
    if not likely.any():
        return False
    apart = np.sort(apart, axis=1)
    trees = (cKDTree(apart[atoms.numbers == each]) for each in np.unique(numbers[1:][likely]))
    return any(tree.query_pairs(SAME, p=np.inf) for tree in trees)


def are_symmetric(molecules: Sequence[Atoms]) -> list[bool]:
    """Return ``is_symmetric`` of each."""
    found = [False] * len(molecules)
    alike: dict[int, list[int]] = {}
    for place, atoms in enumerate(molecules):
        if 3 <= len(atoms) <= MOST_ATOMS:
            alike.setdefault(len(atoms), []).append(place)
    for places in alike.values():
        may = _may_be_symmetric([molecules[place] for place in places])
        for place in np.array(places)[may].tolist():
            found[place] = is_symmetric(molecules[place])
    return found


def _may_be_symmetric(molecules: Sequence[Atoms]) -> np.ndarray:
    """Return the mask (B,) of those molecules, all of n atoms, that are not cleared."""
    numbers = np.array([atoms.numbers for atoms in molecules])
    positions = np.array([atoms.positions for atoms in molecules])
    count = positions.shape[1]
    centered = positions - positions.mean(1, keepdims=True)
    # Squares of the singular values, with an error of their largest one's last digits.
    squares = np.linalg.eigvalsh(np.einsum("bni,bnj->bij", centered, centered))
    thinnest = squares[:, 1 if count == 3 else 0]
    rounding = 1e-13 * squares[:, 2] * count
    flat = thinnest <= (SAME**2 * count) * MARGIN + rounding
    around = np.einsum("bni,bni->bn", centered, centered)
    reach = np.sqrt(around + around.mean(1, keepdims=True))
    order = np.lexsort((around, numbers), axis=1)
    numbers, around, reach = (
        np.take_along_axis(each, order, axis=1) for each in (numbers, around, reach)
    )
    # Whoever is near to one farther out is near to the next.
    limits = MARGIN * SAME * (reach[:, 1:] + reach[:, :-1]) + 1e-9 * reach[:, 1:] ** 2
    near = np.diff(around, axis=1) <= limits
    return flat | (near & (numbers[:, 1:] == numbers[:, :-1])).any(1)
