"""A database of atomic environments: for each element the descriptors of known good atoms.

>>> from ase.build import molecule
>>> from losiko_torch import SOAP, EnvironmentDatabase
>>> soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3)
>>> database = EnvironmentDatabase.build([molecule("CH3OH"), molecule("H2O")], soap)
>>> database
EnvironmentDatabase(2 structures: 6 H, 1 C, 2 O; SOAP with 312 features)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from ase.data import chemical_symbols
from torch import nn

from losiko_torch.checks import whole
from losiko_torch.database import file as storage
from losiko_torch.database.building.checkpoint import Parts, configuration_of
from losiko_torch.database.building.describe import describable, record_of
from losiko_torch.database.building.order import Layout
from losiko_torch.database.building.project import environments_of
from losiko_torch.database.components import COMPONENTS, usual_components
from losiko_torch.database.defaults import CRYSTALS, MOLECULES, Defaults, for_molecules
from losiko_torch.database.element import Environments, full_name
from losiko_torch.database.reference_weights import StructureWeights, as_weight, structure_weights
from losiko_torch.descriptors.interface import (
    Descriptor,
    check_cutoff,
    name_of,
    owned,
    restriction,
    species_of,
)
from losiko_torch.descriptors.soap.soap import SOAP
from losiko_torch.errors import InputError, StructureError
from losiko_torch.io.read import parse_filter
from losiko_torch.search.inverted_lists import recall
from losiko_torch.systems.pymatgen import AnyStructure

#: A build of no more parts than this is done again rather than resumed.
FEW_PARTS = 2
#: Entry of the metadata that tells how much of the nearest references a search finds, by element,
#: and how many of the nearest it is measured by.
RECALL, RECALLED = "search_recall", 16
#: Restrictions to some elements that are kept at hand: a basis for each element, some 10 MB.
RESTRICTIONS = 8


@dataclass(frozen=True, eq=False, repr=False)
class EnvironmentDatabase:
    """Known good environments of every element, and the descriptor they were made with.

    Attributes:
        descriptor: The descriptor: SOAP, ACSF, or another module (see ``descriptors.protocol``).
        environments: By atomic number.
        structures: For each structure its formula and where it came from.
        metadata: Title, level of theory, licence and the like, as told to ``build``.
        skipped: Structures that ``build`` could not describe, with the reason.
    """

    descriptor: nn.Module
    environments: dict[int, Environments]
    structures: list[dict[str, Any]]
    metadata: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @classmethod
    def build(
        cls,
        structures: AnyStructure | Iterable[AnyStructure],
        descriptor: Descriptor,
        components: int | Literal["usual"] | None = "usual",
        where: str | Sequence[str] = (),
        metadata: dict[str, Any] | None = None,
        progress: Callable[[int], None] | None = None,
        parts: str | Path | None = None,
    ) -> EnvironmentDatabase:
        """Describe every atom of the structures.

        Args:
            structures: One ``ase.Atoms`` or any iterable of them, such as a generator over a large
                file; pymatgen's ``Structure`` and ``Molecule`` count as such. They are held until
                all are described; of their features only components are.
            descriptor: What to describe them with; the database keeps a copy. It must not average.
            components: Principal components in which the references of an element are kept; an
                element with fewer references than that loses nothing. "usual": 512, and 384
                where an element has more than 100,000. None keeps all. References of such an
                element are rounded to float16, to which they are written.
            where: Filters on ``atoms.info`` (pymatgen's ``properties``), such as
                "e_above_hull<0.2"; all must hold.
            metadata: Kept in the database and its file, e.g. {"title": ...}; JSON.
            progress: Called with the number of structures done since the last call.
            parts: A folder for what is finished, if there is much to do: the same call goes on from
                there after it was stopped, and its result is the same bit by bit. The folder
                stays until ``remove_parts`` is called.

        Raises:
            InputError: If nothing is left to put into the database; if the folder holds parts of
                other structures, or made with another descriptor or other components.

        A structure that cannot be described is left out and listed in ``skipped``. The array
        ``losiko_weight`` of a structure, one number an atom, weighs its environments (see
        ``weighted``).
        """
        module = owned(descriptor)
        if components is not None and components != "usual":
            components = whole("components", components)
        filters = [parse_filter(text) for text in ([where] if isinstance(where, str) else where)]
        done = progress or (lambda count: None)
        chosen, skipped = describable(structures, module, filters, done)
        layout = Layout.of(chosen)
        check_cutoff(module, min(layout.counts))
        counts = {
            z: usual_components(n) if components == "usual" else components
            for z, n in layout.counts.items()
        }
        kept = Parts(None)
        if parts is not None and len(layout.parts()) > FEW_PARTS:
            kept = Parts.in_folder(Path(parts), configuration_of(module, counts, chosen))
        environments = environments_of(layout, module, counts, kept, done)
        records = [record_of(atoms) for atoms in chosen]
        made = cls(module, environments, records, dict(metadata or {}), skipped)
        return made._checked_weights().with_lists()

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write one safetensors file, all or nothing; an existing file only if ``overwrite``.

        Raises:
            InputError: For a database restricted to some elements.
        """
        if any(part.products is not None for part in self.environments.values()):
            raise InputError("a restricted database cannot be saved: save the one it was made from")
        storage.save(self, Path(path), overwrite)

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: torch.device | str = "cpu",
        descriptor: Descriptor | None = None,
        exact: bool = False,
    ) -> EnvironmentDatabase:
        """Read a file of ``save``.

        Args:
            path: The file.
            device: Where its tensors go.
            descriptor: The module that it was made with, if that is neither SOAP nor ACSF.
            exact: Whether to search all references of an element, however many (see
                ``searched_whole``).

        Raises:
            InputError: If it is not a database, is damaged, or of a newer version; if its
                descriptor is not given but needed, or another one than it was made with.
        """
        loaded = cls._read(path, lambda stored, elements: stored.restored(descriptor, elements))
        return (loaded.searched_whole() if exact else loaded).to(device)

    @classmethod
    def look(cls, path: str | Path) -> EnvironmentDatabase:
        """Read a file to see what is in it, even where its descriptor is not at hand."""
        return cls._read(path, lambda stored, elements: stored.shown())

    @classmethod
    def _read(cls, path: str | Path, restore: storage.Restore) -> EnvironmentDatabase:
        descriptor, environments, structures, metadata = storage.load(Path(path), restore)
        loaded = {z: Environments(**tensors) for z, tensors in environments.items()}
        try:
            return cls(descriptor, loaded, structures, metadata)._checked_weights()
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def to(self, device: torch.device | str) -> EnvironmentDatabase:
        """The same database with its tensors on ``device``."""
        if all(part.vectors.device == full_name(device) for part in self.environments.values()):
            return self
        return replace(
            self,
            descriptor=copy.deepcopy(self.descriptor).to(device),
            environments={z: part.to(device) for z, part in self.environments.items()},
        )

    def without(self, structures: Iterable[int]) -> EnvironmentDatabase:
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

    def with_lists(self) -> EnvironmentDatabase:
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

    def searched_whole(self) -> EnvironmentDatabase:
        """The database without lists: all references are searched, and the nearest are found."""
        metadata = {key: value for key, value in self.metadata.items() if key != RECALL}
        environments = {z: part.undivided() for z, part in self.environments.items()}
        return replace(self, environments=environments, metadata=metadata)

    # Curation, in modules that are made of this one.
    def thinned(self, distance: float) -> EnvironmentDatabase:
        """The database without near-duplicates; see ``curation.thinned``."""
        from losiko_torch.database.curate import select as curation

        return curation.thinned(self, distance)

    def farthest(self, per_element: int) -> EnvironmentDatabase:
        """So many environments of each element, spread widely; see ``curation.farthest``."""
        from losiko_torch.database.curate import select as curation

        return curation.farthest(self, per_element)

    def minus(self, other: EnvironmentDatabase, distance: float) -> EnvironmentDatabase:
        """The database without what another knows; see ``curation.minus``."""
        from losiko_torch.database.curate import select as curation

        return curation.minus(self, other, distance)

    def union(
        self, *others: EnvironmentDatabase, components: int | None = COMPONENTS
    ) -> EnvironmentDatabase:
        """One database of this one's references and those of others; see ``combining.united``."""
        from losiko_torch.database.curate import union as combining

        return combining.united([self, *others], components)

    def weighted(self, weights: StructureWeights | None) -> EnvironmentDatabase:
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

    def _checked_weights(self) -> EnvironmentDatabase:
        """Itself; an ``InputError`` if no reference is left with a weight."""
        if not any(part.usable for part in self.environments.values()):
            raise InputError("all references have weight 0")
        return self

    def restricted(self, numbers: Iterable[int]) -> EnvironmentDatabase:
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

    def _restricted(self, numbers: Iterable[int]) -> EnvironmentDatabase:
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
            f"EnvironmentDatabase({len(self.structures)} structures: {counts}; "
            f"{name_of(self.descriptor)} with {self.n_features} features)"
        )
