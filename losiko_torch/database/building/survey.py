"""Survey of the structures of a database: how far atoms stand from their neighbours, and molecules.

A relaxed structure is held against it: an atom farther from all others than any known good one, or
two molecules in contact where all known good ones are alone, are reasons to doubt.

>>> from ase.build import molecule
>>> survey_of([molecule("H2O"), molecule("CH4")]).loneliest[8]
0.969
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from losiko_torch.database.building.closest import groups
from losiko_torch.errors import InputError
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.bonds import Lengths

#: Distance in Angstrom within which neighbours are looked for.
FARTHEST = 5.0
#: Distance in Angstrom within which atoms of two molecules are in contact.
CONTACT = 3.5


@dataclass(frozen=True)
class Survey:
    """Distances that the structures of a database hold, in Angstrom.

    Attributes:
        loneliest: Largest distance of an atom of each element from its nearest neighbour, 5 if
            there is none so near, by atomic number.
        contacts: Shortest distance between atoms of different molecules of one structure, if 3.5 or
            less, by the sorted atomic numbers of a pair.
    """

    loneliest: dict[int, float] = field(default_factory=dict)
    contacts: dict[tuple[int, int], float] = field(default_factory=dict)

    def joined(self, other: Survey) -> Survey:
        """Return the survey of the structures of both."""
        loneliest, contacts = dict(self.loneliest), dict(self.contacts)
        for number, length in other.loneliest.items():
            loneliest[number] = max(length, loneliest.get(number, length))
        for pair, length in other.contacts.items():
            contacts[pair] = min(length, contacts.get(pair, length))
        return Survey(dict(sorted(loneliest.items())), dict(sorted(contacts.items())))

    def to_json(self) -> dict[str, Any]:
        """Return the survey by the elements' symbols, ready for JSON."""
        return {
            "loneliest": {chemical_symbols[z]: each for z, each in self.loneliest.items()},
            "contacts": {
                "-".join(chemical_symbols[z] for z in pair): each
                for pair, each in self.contacts.items()
            },
        }

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> Survey:
        """Return the survey of ``to_json``.

        Raises:
            InputError: If it is damaged.
        """
        loneliest = {atomic_numbers[each]: d for each, d in stored["loneliest"].items()}
        contacts = {
            (atomic_numbers[one], atomic_numbers[other]): d
            for (one, other), d in ((name.split("-"), d) for name, d in stored["contacts"].items())
        }
        for length in (*loneliest.values(), *contacts.values()):
            if not isinstance(length, float) or not 0 < length < math.inf:
                raise InputError("its survey of distances is damaged")
        return cls(loneliest, contacts)


def survey_of(structures: Iterable[Atoms]) -> Survey:
    """Return the survey of structures."""
    found = Survey()
    for group in groups(structures):
        found = found.joined(_survey_of(group))
    return found


def united_survey(every: Iterable[Survey | None]) -> Survey | None:
    """Return the survey of all; None if any of ``every`` is None."""
    found = Survey()
    for each in every:
        if each is None:
            return None
        found = found.joined(each)
    return found


def _survey_of(structures: list[Atoms]) -> Survey:
    batch = Batch.from_atoms(structures, dtype=torch.float64, device="cpu")
    near = Lengths.of(batch, FARTHEST)
    nearest = near.least(near.lengths, batch.n_atoms).clamp(max=FARTHEST)
    loneliest: dict[int, float] = {}
    for number in batch.numbers.unique().tolist():
        loneliest[number] = round(float(nearest[batch.numbers == number].max()), 3)
    labels = near.molecules(batch.n_atoms)
    center, neighbor = near.pairs.center, near.pairs.neighbor
    between = near.keep((labels[center] != labels[neighbor]) & (near.lengths <= CONTACT))
    contacts: dict[tuple[int, int], float] = {}
    numbers = batch.numbers[torch.stack([between.pairs.center, between.pairs.neighbor])]
    pairs = numbers.sort(dim=0).values.T.tolist()
    for (one, other), length in zip(pairs, between.lengths.tolist(), strict=True):
        contacts[one, other] = round(min(length, contacts.get((one, other), length)), 3)
    return Survey(loneliest, contacts)
