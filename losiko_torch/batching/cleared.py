"""Molecules that are ready for a batch, in arrays: plain ones, of which all atoms move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np

from losiko_torch.batching.prepare import Prepared
from losiko_torch.errors import StructureError
from losiko_torch.systems.columns import Molecules
from losiko_torch.systems.noise import gaussian
from losiko_torch.systems.sound import cleared
from losiko_torch.systems.validity import check_structure


@dataclass(frozen=True, eq=False)
class Cleared(Sequence[Prepared]):
    """Molecules without problems; each is a ``Prepared`` once it is asked for.

    Attributes:
        molecules: The molecules.
        numbers: Number of each among all, shape (B,).
        copy: Number among the copies of their inputs; 0 for these themselves.
    """

    molecules: Molecules
    numbers: np.ndarray
    copy: int = 0

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Prepared: ...

    @overload
    def __getitem__(self, place: slice) -> Cleared: ...

    def __getitem__(self, place: int | slice) -> Prepared | Cleared:
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        atoms = self.molecules[place]
        movable = np.ones((len(atoms), 3), dtype=bool)
        return Prepared(atoms, movable, copy=self.copy, number=int(self.numbers[place]))

    def take(self, places: np.ndarray) -> Cleared:
        """Return the molecules at these places, in this order."""
        molecules, numbers = self.molecules.take(places), self.numbers[places]
        return replace(self, molecules=molecules, numbers=numbers)

    def shaken(self, copy: int, sigma: float, seed: int) -> tuple[np.ndarray, Cleared]:
        """Return what ``Prepared.shaken`` makes of each, those with a problem left out.

        The first is the mask (B,) of those that are left.
        """
        molecules = self.molecules
        noise = sigma * gaussian((seed, 0), [copy] * len(self), molecules.counts.tolist())
        molecules = molecules.at(molecules.positions + noise)
        good = cleared(molecules)
        for place in np.flatnonzero(~good).tolist():
            good[place] = _passes(molecules, place)
        shaken = replace(self, molecules=molecules, copy=copy)
        return good, shaken if good.all() else shaken.take(np.flatnonzero(good))


def clear(
    molecules: Molecules, first: int, sound: np.ndarray, knows: Callable[[int], bool]
) -> tuple[np.ndarray, Cleared]:
    """Return the mask (B,) of the molecules that are cleared for certain, and these.

    Args:
        molecules: Molecules.
        first: Number of the first of them among all.
        sound: Mask (B,) of those that are sound for certain.
        knows: Function that tells whether an element can be worked on.
    """
    good = sound.copy()
    # What is no element at all belongs to nobody who is sound.
    elements = np.flatnonzero(np.bincount(molecules.numbers[good[molecules.system]])).tolist()
    unknown = [each for each in elements if not knows(each)]
    if unknown:
        good[molecules.system[np.isin(molecules.numbers, unknown)]] = False
    numbers = np.arange(first, first + len(molecules))
    every = Cleared(molecules, numbers)
    return good, every if good.all() else every.take(np.flatnonzero(good))


def taken(items: Sequence[Prepared], places: Sequence[int] | np.ndarray) -> Sequence[Prepared]:
    """Return the items at these places, in this order, in arrays where they are."""
    if isinstance(items, Cleared):
        return items.take(np.asarray(places, dtype=int))
    return [items[place] for place in places]


def _passes(molecules: Molecules, place: int) -> bool:
    try:
        check_structure(molecules[place])
    except StructureError:
        return False
    return True
