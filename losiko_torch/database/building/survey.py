"""Survey of a database: how far atoms stand from their neighbours, molecules, and references.

A relaxed structure is held against it: an atom farther from all others than any known good one,
bonded as none is, or two molecules in contact where all known good ones are alone, are reasons to
doubt.

>>> from ase.build import molecule
>>> closest, survey = distances_of([molecule("H2O"), molecule("CH4")])
>>> survey.loneliest[8]
0.969
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from losiko_torch.database.building.closest import (
    Closest,
    closest_of,
    named_by_pair,
    of_named_pairs,
    shortest,
)
from losiko_torch.errors import InputError
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.bonds import Lengths
from losiko_torch.systems.electrons import has_odd_electrons
from losiko_torch.systems.partners import Partners, coded, partners_of

#: Distance in Angstrom within which neighbours are looked for.
FARTHEST = 5.0
#: Distance in Angstrom within which atoms of two molecules are in contact.
CONTACT = 3.5
#: Atoms whose pairs are found at once; bounds the memory.
ATOMS_AT_ONCE = 512


@dataclass(frozen=True)
class Survey:
    """Distances that the structures of a database hold, in Angstrom, and from its references.

    Attributes:
        loneliest: Largest distance of an atom of each element from its nearest neighbour, 5 if
            there is none so near, by atomic number.
        contacts: Shortest distance between atoms of different molecules of one structure, if 3.5 or
            less, by the sorted atomic numbers of a pair.
        unlike: Squared distance |p - z|^2 from the nearest reference beyond which an atom is unlike
            all, by atomic number (see ``building.unlike``); none for elements of few references.
        partners: What atoms of molecules are bonded to; see ``systems.partners``.
        radicals: Whether a molecule has an odd number of electrons, as far as charges are told.

    ``partners`` and ``radicals`` are None in surveys that earlier versions made.
    """

    loneliest: dict[int, float] = field(default_factory=dict)
    contacts: Closest = field(default_factory=dict)
    unlike: dict[int, float] = field(default_factory=dict)
    partners: frozenset[Partners] | None = frozenset()
    radicals: bool | None = False

    def joined(self, other: Survey) -> Survey:
        """Return the survey of the structures of both, of which none has been described."""
        loneliest = dict(self.loneliest)
        for number, length in other.loneliest.items():
            loneliest[number] = max(length, loneliest.get(number, length))
        contacts = shortest(self.contacts, other.contacts)
        partners = radicals = None
        if self.partners is not None and other.partners is not None:
            partners = self.partners | other.partners
        if self.radicals is not None and other.radicals is not None:
            radicals = self.radicals or other.radicals
        return Survey(dict(sorted(loneliest.items())), contacts, {}, partners, radicals)

    def to_json(self) -> dict[str, Any]:
        """Return the survey by the elements' symbols, ready for JSON."""
        return {
            "loneliest": {chemical_symbols[z]: each for z, each in self.loneliest.items()},
            "contacts": named_by_pair(self.contacts),
            "unlike": {chemical_symbols[z]: each for z, each in self.unlike.items()},
            "partners": None if self.partners is None else sorted(self.partners),
            "radicals": self.radicals,
        }

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> Survey:
        """Return the survey of ``to_json``.

        Raises:
            InputError: If it is damaged.
        """
        loneliest, unlike = (
            {atomic_numbers[each]: d for each, d in stored.get(name, {}).items()}
            for name in ("loneliest", "unlike")
        )
        for length in (*loneliest.values(), *unlike.values()):
            if not isinstance(length, float) or not 0 <= length < math.inf:
                raise InputError("its survey of distances is damaged")
        partners, radicals = stored.get("partners"), stored.get("radicals")
        if partners is not None:
            partners = frozenset(partners)
            coded(partners)  # for the error of one that is damaged
        if radicals not in (None, False, True):
            raise InputError("its survey of distances is damaged")
        return cls(loneliest, of_named_pairs(stored["contacts"]), unlike, partners, radicals)


def distances_of(structures: Iterable[Atoms]) -> tuple[Closest, Survey]:
    """Return the shortest interatomic distance of every pair of elements, and the survey.

    Images count. Elements that never come within ``FARTHEST`` of each other are left out. The CPU
    computes in float64 whatever the descriptor's device, so that equal structures have equal
    results.
    """
    closest: Closest = {}
    survey = Survey()
    for group in _groups(structures):
        batch = Batch.from_atoms(group, dtype=torch.float64, device="cpu")
        near = Lengths.of(batch, FARTHEST)
        closest = shortest(closest, closest_of(batch, near))
        found = _survey_of(batch, near)
        survey = survey.joined(replace(found, radicals=any(map(has_odd_electrons, group))))
    return closest, survey


def united_survey(every: Iterable[Survey | None]) -> Survey | None:
    """Return the survey of all; None if any of ``every`` is None."""
    found = Survey()
    for each in every:
        if each is None:
            return None
        found = found.joined(each)
    return found


def _survey_of(batch: Batch, near: Lengths) -> Survey:
    nearest = near.least(near.lengths, batch.n_atoms).clamp(max=FARTHEST)
    loneliest: dict[int, float] = {}
    for number in batch.numbers.unique().tolist():
        loneliest[number] = round(float(nearest[batch.numbers == number].max()), 3)
    labels = near.molecules(batch.n_atoms)
    center, neighbor = near.pairs.center, near.pairs.neighbor
    between = near.keep((labels[center] != labels[neighbor]) & (near.lengths <= CONTACT))
    contacts = closest_of(batch, between)
    rounded = {pair: round(length, 3) for pair, length in contacts.items()}
    return Survey(loneliest, rounded, partners=frozenset(partners_of(batch, near)))


def _groups(structures: Iterable[Atoms]) -> Iterator[list[Atoms]]:
    """Consecutive structures in groups of at least ``ATOMS_AT_ONCE`` atoms, but for the last."""
    group: list[Atoms] = []
    size = 0
    for atoms in structures:
        group.append(atoms)
        size += len(atoms)
        if size >= ATOMS_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group
