"""Symmetry of molecules: flat or linear ones, and ones with equivalent atoms, many at once.

``is_symmetric`` looks at one molecule. For thousands ``are_symmetric`` first clears those that
cannot be: their atoms lie around the center of all at distances that differ too much. The others
are compared with each other by the thousand, and only where rounding could decide, one by one, so
that both agree.

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

from losiko_torch.systems.columns import Molecules, of_equal_size

#: Deviation in Angstrom up to which a molecule counts as flat, and atoms as equivalent.
SAME = 1e-3
#: Atoms of a molecule up to which symmetry is looked for.
MOST_ATOMS = 1000
#: What is cleared misses the limits by this factor: more than rounding makes, or the reach of an
#: atom a little farther out.
MARGIN = 1.1
#: Factor within which rounding could decide whether two atoms are equivalent.
ROUNDED = 1 + 1e-6
#: Pairs of atoms of the molecules that are compared together.
MOST_PAIRS = 2**18


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
    found = np.zeros(len(molecules), dtype=bool)
    for places, numbers, positions in of_equal_size(molecules):
        count = numbers.shape[1]
        if not 3 <= count <= MOST_ATOMS:
            continue
        together = 1 + MOST_PAIRS // count**2
        for first in range(0, len(places), together):
            some = slice(first, first + together)
            known = symmetric_for_sure(numbers[some], positions[some])
            found[places[some]] = known > 0
            for place in places[some][known < 0].tolist():
                found[place] = is_symmetric(molecules[place])
    if not isinstance(molecules, Molecules):
        found &= np.array([not atoms.pbc.any() for atoms in molecules], dtype=bool)
    return found.tolist()


def symmetric_for_sure(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Tell whether molecules are symmetric: 1, 0, or -1 where rounding could decide; shape (B,).

    Args:
        numbers: Atomic numbers of B molecules of n atoms, shape (B, n).
        positions: Positions, shape (B, n, 3).
    """
    axes = np.ascontiguousarray(np.moveaxis(positions, 2, 0))
    centered = axes - axes.mean(2, keepdims=True)
    least, most = _thickness(centered)
    order, alike = _perhaps_equivalent(numbers, centered)
    known = np.where(most < 1, 1, 0)
    rest = np.flatnonzero((alike.any(1) | (least <= 1)) & (most >= 1))
    if len(rest):
        known[rest] = _equivalent_for_sure(numbers[rest], axes[:, rest], order[rest], alike[rest])
        # What is perhaps flat, and not for sure, has only equivalent atoms to be sure by.
        known[(known == 0) & (least <= 1)] = -1
    return known


def _thickness(centered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds of how thick molecules are, squared, in units of what counts as flat; (B,).

    Both are infinite where it is clear that a molecule is not flat. ``centered`` are the
    coordinates from the center, shape (3, B, n).
    """
    count = centered.shape[2]
    moments = np.empty((centered.shape[1], 3, 3))
    for i in range(3):
        for j in range(i + 1):
            products = np.einsum("bn,bn->b", centered[i], centered[j])
            moments[:, i, j] = moments[:, j, i] = products
    unit, trace = SAME**2 * count, np.trace(moments, axis1=1, axis2=2)
    # The other two squared singular values have a product of at most (trace / 2)^2.
    thick = 4 * np.linalg.det(moments) > (MARGIN * unit + 1e-13 * count * trace) * trace**2
    thin = np.flatnonzero(~thick)
    least, most = np.full((2, len(thick)), np.inf)
    # Squares of the singular values, with an error of their largest one's last digits.
    squares = np.linalg.eigvalsh(moments[thin])
    thinnest = squares[:, 1 if count == 3 else 0]
    rounding = 1e-13 * squares[:, 2] * count
    least[thin] = (thinnest - rounding) / (MARGIN * unit)
    most[thin] = (thinnest + rounding) * MARGIN / unit
    return least, most


def _perhaps_equivalent(numbers: np.ndarray, centered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the atoms in order, and which are not cleared of being equivalent to the next.

    The order (B, n) is by element and then by distance from the center; the mask is (B, n - 1).
    """
    squares = (centered**2).sum(0)
    total = squares.sum(1, keepdims=True)
    # Elements come first: no square is as large as the unit of their numbers, a power of two.
    unit = np.ldexp(2.0, np.frexp(total)[1])
    keys = numbers * unit + squares
    order = np.argsort(keys, axis=1)
    keys = np.take_along_axis(keys, order, axis=1)
    elements = np.floor(keys / unit)
    around = keys - elements * unit
    reach = np.sqrt(around + total / squares.shape[1])
    # Whoever is near to one farther out is near to the next.
    limits = MARGIN * SAME * (reach[:, 1:] + reach[:, :-1]) + 1e-9 * reach[:, 1:] ** 2
    return order, (np.diff(around) <= limits) & (elements[:, 1:] == elements[:, :-1])


def _equivalent_for_sure(
    numbers: np.ndarray, axes: np.ndarray, order: np.ndarray, alike: np.ndarray
) -> np.ndarray:
    """Tell what ``symmetric_for_sure`` does of equivalent atoms alone, coordinates (3, B, n)."""
    none = np.zeros((len(numbers), 1), dtype=bool)
    system, place = np.nonzero(np.hstack([alike, none]) | np.hstack([none, alike]))
    atom = order[system, place]
    element = numbers[system, atom]
    squares = np.zeros((len(atom), numbers.shape[1]))
    for axis in axes:
        squares += (axis[system] - axis[system, atom][:, None]) ** 2
    apart = np.sort(np.sqrt(squares), axis=1)
    # Largest difference of the sorted distances of two atoms.
    least = np.full(len(numbers), np.inf)
    # Atoms of an element in a molecule follow each other: the next ones, the next but one, ...
    for step in range(1, numbers.shape[1]):
        same = (system[step:] == system[:-step]) & (element[step:] == element[:-step])
        pairs = np.flatnonzero(same & (least[system[step:]] > SAME / ROUNDED))
        if not len(pairs):
            break
        differences = np.abs(apart[pairs] - apart[pairs + step]).max(1)
        np.minimum.at(least, system[pairs], differences)
    return np.where(least <= SAME / ROUNDED, 1, np.where(least <= SAME * ROUNDED, -1, 0))
