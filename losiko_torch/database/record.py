"""The data of a database: environments by element, and what is made of them without describing."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import torch
from ase.data import chemical_symbols
from torch import nn

from losiko_torch.database.defaults import CRYSTALS, MOLECULES, Defaults, for_molecules
from losiko_torch.database.element import Environments, full_name
from losiko_torch.database.reference_weights import StructureWeights, as_weight, structure_weights
from losiko_torch.descriptors.interface import name_of, restriction, species_of
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError, StructureError
from losiko_torch.search.inverted_lists import recall

#: Entry of the metadata that tells how much of the nearest references a search finds, by element,
#: and how many of the nearest it is measured by.
RECALL, RECALLED = "search_recall", 16
#: Restrictions to some elements that are kept at hand: a basis for each element, some 10 MB.
RESTRICTIONS = 8


@dataclass(frozen=True, eq=False, repr=False)
class DatabaseRecord:
    """Known good environments of every element, and the descriptor they were made with.

    Attributes:
        descriptor: The descriptor: SOAP, ACSF, or another module (see ``descriptors.interface``).
        environments: By atomic number.
        structures: For each structure its formula and where it came from.
        metadata: Title, level of theory, licence and the like, as told to ``build``.
        skipped: Structures that ``build`` could not describe, with the reason.
        closest: Shortest interatomic distance in Angstrom of pairs of elements over all structures
            the database was built from, by sorted atomic numbers. Pairs that never come within
            5 Angstrom of each other are left out. None means unknown: files of version 0.1 lack it.
        fitted: What a target fitted beforehand to all references together, ready for JSON. The part
            that belongs to an element is in ``Environments.fitted``.
    """

    descriptor: nn.Module
    environments: dict[int, Environments]
    structures: list[dict[str, Any]]
    metadata: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    closest: dict[tuple[int, int], float] | None = None
    fitted: dict[str, Any] = field(default_factory=dict)

    @property
    def is_fitted(self) -> bool:
        """Return whether a target keeps anything that it fitted to the references."""
        return bool(self.fitted) or any(part.fitted for part in self.environments.values())

    def to(self, device: torch.device | str) -> Self:
        """The same database with its tensors on ``device``."""
        if all(part.vectors.device == full_name(device) for part in self.environments.values()):
            return self
        return replace(
            self,
            descriptor=copy.deepcopy(self.descriptor).to(device),
            environments={z: part.to(device) for z, part in self.environments.items()},
        )

    def without(self, structures: Iterable[int]) -> Self:
        """The database without the environments of these structures (their numbers).

        The structures' records and the components stay, so that numbers keep their meaning.
        """
        left_out = torch.tensor(sorted(set(structures)), device=self.device)
        environments = {}
        for number, part in self.environments.items():
            stays = ~torch.isin(part.structure, left_out)
            if stays.any():
                environments[number] = part.kept(stays)
        if not environments:
            raise InputError("no environment is left in the database")
        return replace(self, environments=environments)._checked_weights()

    def with_lists(self) -> Self:
        """The database with the references of large elements in lists, which are fast to search.

        ``build`` makes them. A search goes through the lists nearest to an atom, and may miss
        something near; how much it finds is measured, and told as ``search_recall`` in the
        metadata: the share of the 16 nearest others of a sample of the references.
        """
        environments = {z: part.divided() for z, part in self.environments.items()}
        found = dict(self.metadata.get(RECALL, {}))
        for z, part in environments.items():
            if part is not self.environments[z] and part.probed is not None:
                exact = part.undivided()
                found[chemical_symbols[z]] = round(
                    recall(part.nearest, exact.nearest, part.vectors, RECALLED), 4
                )
        metadata = {**self.metadata, RECALL: found} if found else self.metadata
        return replace(self, environments=environments, metadata=metadata)

    def searched_whole(self) -> Self:
        """The database without lists: all references are searched, and the nearest are found."""
        metadata = {key: value for key, value in self.metadata.items() if key != RECALL}
        environments = {z: part.undivided() for z, part in self.environments.items()}
        return replace(self, environments=environments, metadata=metadata)

    def weighted(self, weights: StructureWeights | None) -> Self:
        """The database with its references biased; it shares all tensors.

        Args:
            weights: A key of the structures' records that holds numbers (1 where it is missing),
                one number for each structure, or a function from a structure's record to its
                number. A reference of weight g counts as if its squared distance D were D/g: it is
                found from further away the larger g is, and never where g is 0. None removes all
                weights. Weights given here replace those before.

        Raises:
            InputError: For weights that are negative, not finite, all zero or wrong in number.
        """
        found = None if weights is None else structure_weights(weights, self.structures)
        environments = {}
        for number, part in self.environments.items():
            weight = None
            if found is not None:
                weight = as_weight(found.to(part.vectors.device)[part.structure.long()])
            same = weight is None and part.weight is None
            environments[number] = part if same else replace(part, weight=weight)
        return replace(self, environments=environments)._checked_weights()

    def _checked_weights(self) -> Self:
        """Itself; an ``InputError`` if no reference is left with a weight."""
        if not any(part.usable for part in self.environments.values()):
            raise InputError("all references have weight 0")
        return self

    def restricted(self, numbers: Iterable[int]) -> Self:
        """The same references for structures of these elements only: cheaper, equal results.

        The last ones made are kept: relaxations and calculators ask for the same again and again.
        """
        wanted = frozenset(numbers)
        kept = self.__dict__.setdefault("_restrictions", {})
        made = kept.get(wanted)
        if made is None:
            made = kept[wanted] = self._restricted(wanted)
            # Threads may do this at once: each drops what it sees.
            for oldest in list(kept)[:-RESTRICTIONS]:
                kept.pop(oldest, None)
        return made

    def _restricted(self, numbers: Iterable[int]) -> Self:
        descriptor, columns = restriction(self.descriptor, numbers)
        if columns is None or descriptor is self.descriptor:
            return self
        species = species_of(descriptor)
        columns = columns.to(self.device)
        environments = {
            z: part.restricted(columns)
            for z, part in self.environments.items()
            if species is None or z in species
        }
        return replace(self, descriptor=descriptor, environments=environments)

    @property
    def defaults(self) -> Defaults:
        """What relaxations with it do where nothing else is said, by what most structures are."""
        periodic = sum(record.get("periodic") is True for record in self.structures)
        if 2 * periodic > len(self.structures):
            return CRYSTALS
        soap = self.descriptor
        return for_molecules(soap.sigma) if isinstance(soap, SOAP) else MOLECULES

    @property
    def device(self) -> torch.device:
        return next(iter(self.environments.values())).vectors.device

    @property
    def n_features(self) -> int:
        return len(next(iter(self.environments.values())).basis)

    def references_of(self, number: int) -> Environments:
        """Environments of the element with this atomic number.

        Raises:
            StructureError: If there are none with a weight.
        """
        if number not in self.environments or not self.environments[number].usable:
            known = ", ".join(chemical_symbols[z] for z, p in self.environments.items() if p.usable)
            raise StructureError(
                f"the database has no environment of {chemical_symbols[number]} (it has {known})"
            )
        return self.environments[number]

    def __len__(self) -> int:
        return sum(len(part) for part in self.environments.values())

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{len(part)} {chemical_symbols[z]}" for z, part in self.environments.items()
        )
        return (
            f"{type(self).__name__}({len(self.structures)} structures: {counts}; "
            f"{name_of(self.descriptor)} with {self.n_features} features)"
        )


AnyDatabase = TypeVar("AnyDatabase", bound=DatabaseRecord)
