"""Molecules that are sound for certain, told for thousands at once.

Nothing here says what is wrong with a structure: whoever is not cleared is looked at by itself
(``systems.validity``), which has the sentence. So both ways agree as long as no structure is
cleared that is not sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from losiko_torch.systems.columns import Molecules
from losiko_torch.systems.molecules import is_plain
from losiko_torch.systems.names import UNREADABLE
from losiko_torch.systems.validity import COINCIDENCE, FARTHEST

#: Atoms of a molecule up to which it is looked at together with others.
MOST_ATOMS = 200
#: Direction along which atoms are sorted; coincident ones are near along any. Atoms of drawings
#: and symmetric molecules, many in one plane, are apart along this one.
ALONG = np.array([0.5257311, 0.6180340, 0.5844171])
#: Atoms behind each other along the direction that are compared at most.
MOST_NEAR = 64


def small_molecule(given: Any) -> TypeGuard[Atoms]:
    """Return whether a structure is a plain molecule, neither empty nor large, with no remark."""
    return (
        is_plain(given)
        and 0 < len(given) <= MOST_ATOMS
        and UNREADABLE not in given.info
        and "occupancy" not in given.info
    )


def sound(structures: Sequence[Atoms]) -> np.ndarray:
    """Return the mask (B,) of ``small_molecule`` ones that pass ``check_structure`` for certain."""
    if not structures:
        return np.zeros(0, dtype=bool)
    counts = np.array([len(atoms) for atoms in structures])
    positions = np.concatenate([atoms.arrays["positions"] for atoms in structures])
    numbers = np.concatenate([atoms.arrays["numbers"] for atoms in structures])
    return _sound(numbers, positions, counts)


def cleared(molecules: Molecules) -> np.ndarray:
    """Return the mask (B,) of molecules that pass ``check_structure`` for certain."""
    counts = molecules.counts
    small = (counts > 0) & (counts <= MOST_ATOMS)
    if not small.all():
        small[small] = cleared(molecules.take(np.flatnonzero(small)))
        return small
    if not len(molecules):
        return small
    return _sound(molecules.numbers, molecules.positions.copy(), counts)


def _sound(numbers: np.ndarray, positions: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mask (B,) of small molecules that are sound; ``positions`` are overwritten."""
    near = np.abs(positions) <= FARTHEST  # false for what is no number
    known = (numbers >= 1) & (numbers < len(chemical_symbols))
    system = np.repeat(np.arange(len(counts)), counts)
    cleared = np.ones(len(counts), dtype=bool)
    if not (near.all() and known.all()):
        bad = ~(known & near.all(1))
        cleared[system[bad]] = False
        # They would spoil the order.
        positions[bad] = 0.0
    cleared[_coincident(positions, system)] = False
    return cleared


def _coincident(positions: np.ndarray, system: np.ndarray) -> np.ndarray:
    """Return the numbers of the structures of which two atoms may be on one spot."""
    # A little more than the limit: whatever is near it is looked at by itself.
    limit = COINCIDENCE * 1.001
    along = positions @ (ALONG / np.linalg.norm(ALONG))
    # Structures behind each other: farther apart than any is long.
    span = 2 * np.abs(along).max(initial=0) + 1
    along = along + span * system
    order = np.argsort(along)
    along, system = along[order], system[order]
    found = []
    # Most are far from the next already.
    first = np.flatnonzero(np.diff(along) <= limit)
    for step in range(1, MOST_NEAR + 1):
        first = first[: np.searchsorted(first, len(along) - step)]
        second = first + step
        near = along[second] - along[first] <= limit
        # Where one is too far along, so are all behind it.
        first = first[near]
        if not len(first):
            break
        apart = positions[order[first + step]] - positions[order[first]]
        found.append(system[first[np.einsum("ij,ij->i", apart, apart) <= limit**2]])
    found.append(system[first])
    return np.concatenate(found)
