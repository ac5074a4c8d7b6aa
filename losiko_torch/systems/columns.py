"""Molecules by the thousand in arrays; one becomes ``ase.Atoms`` when it is asked for.

A list of ``Atoms`` costs a dozen objects a molecule, to make, to look at and to collect again.
Archives hold arrays, and batches are arrays: in between molecules stay what they are.

>>> numbers, offsets = np.array([8, 1, 1, 9, 1]), np.array([0, 3, 5])
>>> two = Molecules(numbers, np.zeros((5, 3)), offsets, {"id": [4, 7]})
>>> str(two[1].symbols), two[1].info
('FH', {'id': 7})
>>> two.take(np.array([1, 0])).offsets.tolist()
[0, 2, 5]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, overload

import numpy as np
from ase import Atoms

from losiko_torch.systems.molecules import molecule


@dataclass(frozen=True, eq=False)
class Molecules(Sequence[Atoms]):
    """B molecules of elements, positions and ``info`` alone: N atoms behind each other.

    Attributes:
        numbers: Atomic numbers, shape (N,), int.
        positions: Positions in Angstrom, shape (N, 3), float.
        offsets: First atom of each molecule, and N, shape (B + 1,).
        facts: Entries of ``info``, by key: a list with that of each molecule.
    """

    numbers: np.ndarray
    positions: np.ndarray
    offsets: np.ndarray
    facts: Mapping[str, list[Any]]

    @property
    def counts(self) -> np.ndarray:
        """Number of atoms of each molecule, shape (B,)."""
        return np.diff(self.offsets)

    @property
    def system(self) -> np.ndarray:
        """Molecule of each atom, shape (N,)."""
        return np.repeat(np.arange(len(self)), self.counts)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, place: int) -> Atoms: ...

    @overload
    def __getitem__(self, place: slice) -> Molecules: ...

    def __getitem__(self, place: int | slice) -> Atoms | Molecules:
        if isinstance(place, slice):
            first, end, step = place.indices(len(self))
            if step != 1:
                return self.take(np.arange(first, end, step))
            end = max(first, end)
            offsets = self.offsets[first : end + 1]
            atoms = slice(offsets[0], offsets[-1])
            return Molecules(
                self.numbers[atoms],
                self.positions[atoms],
                offsets - offsets[0],
                {key: values[first:end] for key, values in self.facts.items()},
            )
        place = range(len(self))[place]
        atoms = slice(self.offsets[place], self.offsets[place + 1])
        info = {key: values[place] for key, values in self.facts.items()}
        return molecule(self.numbers[atoms].copy(), self.positions[atoms].copy(), info)

    def __iter__(self) -> Iterator[Atoms]:
        return map(self.__getitem__, range(len(self)))

    def take(self, places: np.ndarray) -> Molecules:
        """Return the molecules at these places, in this order; places in a row are a slice."""
        if (some := slice_of(places)) is not None:
            return self[some]
        atoms, offsets = self.atoms(places)
        chosen = places.tolist()
        facts = {key: [values[k] for k in chosen] for key, values in self.facts.items()}
        return Molecules(self.numbers[atoms], self.positions[atoms], offsets, facts)

    def atoms(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the atoms of the molecules at these places, and the offsets among them."""
        counts = self.counts[places]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        shift = np.repeat(self.offsets[:-1][places] - offsets[:-1], counts)
        return np.arange(offsets[-1]) + shift, offsets

    def of_each_size(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the places (b,) of those of n atoms, and their atoms (b, n), by n."""
        counts = self.counts
        for count in np.unique(counts).tolist():
            places = np.flatnonzero(counts == count)
            yield places, self.offsets[:-1][places][:, None] + np.arange(count)

    def at(self, positions: np.ndarray) -> Molecules:
        """Return the molecules with their atoms at other positions."""
        return replace(self, positions=positions)

    @classmethod
    def joined(cls, parts: Sequence[Molecules]) -> Molecules:
        """Return the molecules of several, behind each other; all have facts of the same keys."""
        if len(parts) == 1:
            return parts[0]
        counts = np.concatenate([part.counts for part in parts])
        return cls(
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.positions for part in parts]),
            np.concatenate([[0], np.cumsum(counts)]),
            {
                key: list(chain.from_iterable(part.facts[key] for part in parts))
                for key in parts[0].facts
            },
        )


def slice_of(places: np.ndarray) -> slice | None:
    """Return places (n,) as a slice where each is the one behind the one before, else None."""
    first = int(places[0]) if len(places) else 0
    end = first + len(places)
    return slice(first, end) if np.array_equal(places, np.arange(first, end)) else None


def kinds_of(columns: Iterable[np.ndarray], count: int) -> np.ndarray:
    """Number the different rows of integer columns (B,), B = ``count``; that of each row, (B,)."""
    kind = np.zeros(count, dtype=np.int64)
    for column in columns:
        _, own = np.unique(column, return_inverse=True)
        _, kind = np.unique(kind * count + own, return_inverse=True)
    return kind


def of_equal_size(
    molecules: Sequence[Atoms],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield places, atomic numbers (b, n) and positions (b, n, 3) of those of n atoms, by n."""
    if isinstance(molecules, Molecules):
        for places, chosen in molecules.of_each_size():
            yield places, molecules.numbers[chosen], molecules.positions[chosen]
        return
    alike: dict[int, list[int]] = {}
    for place, atoms in enumerate(molecules):
        alike.setdefault(len(atoms), []).append(place)
    for own in alike.values():
        numbers = np.array([molecules[place].numbers for place in own])
        yield np.array(own), numbers, np.array([molecules[place].positions for place in own])
