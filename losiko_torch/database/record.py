"""The data of a database, and the databases made of it without describing anything anew."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self, TypeVar

import torch
from ase.data import chemical_symbols
from torch import nn

from losiko_torch.accelerators import is_out_of_memory
from losiko_torch.database.building.survey import Survey
from losiko_torch.database.building.unlike import unlike_of
from losiko_torch.database.defaults import CRYSTALS, MOLECULES, Defaults, for_molecules
from losiko_torch.database.element import Environments, full_name
from losiko_torch.database.geometries import Geometries
from losiko_torch.database.reference_weights import StructureWeights, as_weight, structure_weights
from losiko_torch.descriptors.interface import name_of, restriction, species_of, summary_of
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError, StructureError, first_line
from losiko_torch.learned.model import LearnedModel
from losiko_torch.learned.stored import LEARNED, PREFIX, restored, stored
from losiko_torch.search.inverted_lists import recall
from losiko_torch.shown.notebook import with_view
from losiko_torch.shown.table import facts
from losiko_torch.shown.text import counted, plural
from losiko_torch.shown.three_d import item
from losiko_torch.systems.names import known_as

#: Entry of the metadata that holds the recall of the search by element, and the number of nearest
#: references by which recall is measured.
RECALL, RECALLED = "search_recall", 16
#: Restrictions to some elements that are kept in memory, each of some 10 MB: a basis an element.
RESTRICTIONS = 8
#: Structures of a database that a notebook shows, and most atoms of one of them.
EXAMPLES, LARGEST = 12, 500
#: Entries of the metadata that are shown first, and their titles.
TITLES = {"title": "title", "level_of_theory": "level of theory", "licence": "licence"}


@dataclass(frozen=True, eq=False, repr=False)
class DatabaseRecord:
    """References of every element, and the descriptor they were made with.

    Attributes:
        descriptor: SOAP, ACSF, or another module (see ``descriptors.interface``).
        environments: References of each element, by atomic number.
        structures: Record of each structure: its formula, its source and short entries of its info.
        metadata: Title, level of theory, licence and the like, as passed to ``build``.
        skipped: Structures that ``build`` could not describe, with the reason.
        closest: Shortest interatomic distance in Angstrom of pairs of elements over all structures
            the database was built from, by sorted atomic numbers. Pairs that never come within
            5 Angstrom of each other are left out. None means unknown: files of version 0.1 lack it.
        fitted: State that a target fitted beforehand to all references together, ready for JSON.
            The part that belongs to one element is in its ``Environments.fitted``.
        geometries: Geometries of all structures, in the order of ``structures``, on the CPU. None
            means unknown: files of before version 5 lack them.
        survey: Distances that the structures hold, and contacts between molecules. None means
            unknown: files of before version 0.2 lack it.
    """

    descriptor: nn.Module
    environments: dict[int, Environments]
    structures: list[dict[str, Any]]
    metadata: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    closest: dict[tuple[int, int], float] | None = None
    fitted: dict[str, Any] = field(default_factory=dict)
    geometries: Geometries | None = None
    survey: Survey | None = None

    @cached_property
    def learned(self) -> LearnedModel | None:
        """Model fitted to the geometries of the database's structures; None if there is none.

        Raises:
            InputError: If it is damaged.
        """
        if LEARNED not in self.fitted:
            return None
        tensors = {z: part.fitted for z, part in self.environments.items()}
        return restored(self.fitted[LEARNED], tensors, self.descriptor)

    def with_learned(self, model: LearnedModel | None) -> Self:
        """Return the database with this learned model in place of its own; None takes it away."""
        fitted = {name: each for name, each in self.fitted.items() if name != LEARNED}
        record, tensors = ({}, {}) if model is None else stored(model)
        if model is not None:
            fitted[LEARNED] = record
        environments = {}
        for z, part in self.environments.items():
            others = {n: each for n, each in part.fitted.items() if not n.startswith(PREFIX)}
            environments[z] = replace(part, fitted={**others, **tensors.get(z, {})})
        return replace(self, environments=environments, fitted=fitted)

    @property
    def is_fitted(self) -> bool:
        """Return whether a target keeps anything that it fitted to the references."""
        return bool(self.fitted) or any(part.fitted for part in self.environments.values())

    def to(self, device: torch.device | str) -> Self:
        """Return the same database with its tensors, but for the geometries, on ``device``.

        Raises:
            InputError: If there is no such device, or it cannot be used.
        """
        try:
            if all(part.device == full_name(device) for part in self.environments.values()):
                return self
            return replace(
                self,
                descriptor=copy.deepcopy(self.descriptor).to(device),
                environments={z: part.to(device) for z, part in self.environments.items()},
            )
        except (RuntimeError, AssertionError, TypeError) as error:
            if is_out_of_memory(error):
                raise
            raise InputError(f"device '{device}' cannot be used ({first_line(error)})") from None

    def without(self, structures: Iterable[int]) -> Self:
        """The database without the environments of some structures, named by their numbers.

        The records of all structures stay, so that numbers keep their meaning, and so do components
        and fitted targets.

        Raises:
            InputError: If no environment is left, or none with a weight.
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
        """The database with inverted lists for elements with many references, as ``build`` has it.

        A search visits the lists nearest to an atom and may miss a near reference. Its recall, the
        share of the 16 nearest others that it finds for a sample of the references, is measured and
        kept as ``search_recall`` in the metadata.
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

    def calibrated(self) -> Self:
        """The database with the distances measured beyond which an atom is unlike its references.

        Whatever changes the references calls for it anew.
        """
        if self.survey is None:
            return self
        return replace(self, survey=replace(self.survey, unlike=unlike_of(self.environments)))

    def searched_whole(self) -> Self:
        """The database without inverted lists: every search visits all references and is exact."""
        metadata = {key: value for key, value in self.metadata.items() if key != RECALL}
        environments = {z: part.undivided() for z, part in self.environments.items()}
        return replace(self, environments=environments, metadata=metadata)

    def weighted(self, weights: StructureWeights | None) -> Self:
        """The database with other weights of its references; all tensors are shared.

        Args:
            weights: Key of the structures' records that holds numbers (1 where it is missing), one
                number for each structure, or a function from a structure's record to its number. A
                reference of weight g counts as if its distance D were D/g: it is found from further
                away the larger g is, and never if g is 0. None removes all weights. These weights
                replace any before.

        Raises:
            InputError: For weights that are negative, not finite, all zero or wrong in number.
        """
        found = None if weights is None else structure_weights(weights, self.structures)
        environments = {}
        for number, part in self.environments.items():
            weight = None
            if found is not None:
                weight = as_weight(found.to(part.device)[part.structure.long()])
            same = weight is None and part.weight is None
            environments[number] = part if same else replace(part, weight=weight)
        return replace(self, environments=environments)._checked_weights()

    def _checked_weights(self) -> Self:
        """Return the database, or raise ``InputError`` if all its references have weight 0."""
        if not any(part.usable for part in self.environments.values()):
            raise InputError("all references have weight 0")
        return self

    def restricted(self, numbers: Iterable[int]) -> Self:
        """The database for structures of some elements only: cheaper, with equal results.

        Recent restrictions are kept, since relaxations and calculators need the same ones again.
        """
        wanted = frozenset(numbers)
        kept = self.__dict__.setdefault("_restrictions", {})
        made = kept.get(wanted)
        if made is None:
            made = kept[wanted] = self._restricted(wanted)
            # Several threads may do this at once, so an entry may be gone already.
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
            z: part if len(columns) == part.n_features else part.restricted(columns)
            for z, part in self.environments.items()
            if species is None or z in species
        }
        made = replace(self, descriptor=descriptor, environments=environments)
        if self.learned is not None:
            made.__dict__["learned"] = self.learned.restricted(numbers)
        return made

    @property
    def defaults(self) -> Defaults:
        """Default settings for relaxations: those for crystals if most structures are periodic."""
        periodic = sum(record.get("periodic") is True for record in self.structures)
        soap, found = self.descriptor, MOLECULES
        if 2 * periodic > len(self.structures):
            found = CRYSTALS
        elif isinstance(soap, SOAP):
            found = for_molecules(soap.sigma)
        return replace(found, usual="learned") if LEARNED in self.fitted else found

    @property
    def device(self) -> torch.device:
        return next(iter(self.environments.values())).device

    @property
    def n_features(self) -> int:
        return next(iter(self.environments.values())).n_features

    def references_of(self, number: int) -> Environments:
        """References of the element with this atomic number.

        Raises:
            StructureError: If the element has no reference with a weight.
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
        learned = "; learned targets" if LEARNED in self.fitted else ""
        return (
            f"{type(self).__name__}({len(self.structures)} structures: {counted(self._counts())}; "
            f"{name_of(self.descriptor)} with {self.n_features} features{learned})"
        )

    def _repr_html_(self) -> str:
        told = {
            title: str(self.metadata[key])
            for key, title in TITLES.items()
            if self.metadata.get(key)
        }
        told["structures"] = f"{len(self.structures):,}"
        told["environments"] = f"{len(self):,}: {counted(self._counts(), len(self.environments))}"
        told["descriptor"] = summary_of(self.descriptor)
        told["features"] = f"{self.n_features:,}"
        told["learned targets"] = "yes" if LEARNED in self.fitted else "none"
        if self.skipped:
            told["left out"] = plural(len(self.skipped), "structure")
        return with_view(facts(type(self).__name__, told), self._pictures(), "Database")

    def _pictures(self) -> list[dict[str, Any]]:
        """Return some structures for a view, spread over all, where their geometries are known."""
        if self.geometries is None or not len(self.geometries):
            return []
        count = min(EXAMPLES, len(self.geometries))
        chosen = [k * len(self.geometries) // count for k in range(count)]
        atoms = [self.geometries.atoms(k) for k in chosen]
        names = [known_as(self.structures[k], self.structures[k]["formula"], k) for k in chosen]
        return [item(*each, most=LARGEST) for each in zip(atoms, names, strict=True)]

    def _counts(self) -> dict[str, int]:
        """Return the number of references of each element, by symbol."""
        return {chemical_symbols[z]: len(part) for z, part in self.environments.items()}


AnyDatabase = TypeVar("AnyDatabase", bound=DatabaseRecord)
