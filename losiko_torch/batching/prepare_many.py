"""Preparing structures by the thousand: plain molecules together, all others one by one.

Molecules of elements and positions alone are cleared together (``systems.sound``). Whatever is not
cleared goes through ``batching.prepare.prepare``, so that a bad structure gets the same sentence
among thousands as alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms

from losiko_torch.batching.prepare import Prepared
from losiko_torch.systems.pymatgen import AnyStructure
from losiko_torch.systems.sound import small_molecule, sound


def prepare_many(
    structures: Sequence[AnyStructure],
    first: int,
    one_by_one: Callable[[AnyStructure, int], Prepared],
    knows: Callable[[int], bool],
    together: Callable[[int], bool],
    moves: bool,
) -> list[Prepared]:
    """Prepare structures, numbered from ``first``.

    Args:
        structures: Structures.
        first: Number of the first of them among all.
        one_by_one: Function from a structure and its number to that, prepared.
        knows: Function that tells whether an element can be worked on.
        together: Function that tells whether structure ``number`` may be prepared with others.
        moves: Whether all atoms of those move, or none.
    """
    made: list[Prepared | None] = [None] * len(structures)
    plain = {
        k: each for k, each in enumerate(structures) if small_molecule(each) and together(first + k)
    }
    cleared = _cleared(list(plain.values()), knows)
    some = [pair for pair, good in zip(plain.items(), cleared.tolist(), strict=True) if good]
    ends = np.cumsum([len(atoms) for _, atoms in some]).tolist()
    movable = np.full((ends[-1] if ends else 0, 3), moves)
    for (k, atoms), begin, end in zip(some, [0, *ends], ends, strict=False):
        made[k] = Prepared(atoms, movable[begin:end], number=first + k)
    return [
        one_by_one(each, first + k) if done is None else done
        for k, (each, done) in enumerate(zip(structures, made, strict=True))
    ]


def _cleared(molecules: Sequence[Atoms], knows: Callable[[int], bool]) -> np.ndarray:
    """Return the mask of molecules that are sound, of elements that are known."""
    cleared = sound(molecules)
    if not len(cleared):
        return cleared
    numbers = np.concatenate([atoms.arrays["numbers"] for atoms in molecules])
    system = np.repeat(np.arange(len(molecules)), [len(atoms) for atoms in molecules])
    # What is no element at all belongs to nobody who is cleared.
    elements = np.unique(numbers[cleared[system]]).tolist()
    unknown = [each for each in elements if not knows(each)]
    cleared[system[np.isin(numbers, unknown)]] = False
    return cleared
