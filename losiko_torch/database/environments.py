"""A database of atomic environments: for each element the descriptors of known good atoms.

>>> from ase.build import molecule
>>> from losiko_torch import SOAP, EnvironmentDatabase
>>> soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3)
>>> database = EnvironmentDatabase.build([molecule("CH3OH"), molecule("H2O")], soap)
>>> database
EnvironmentDatabase(2 structures: 6 H, 1 C, 2 O; SOAP with 312 features)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols

from losiko_torch.conversion import AnyStructure, as_atoms, check_type, one_by_one
from losiko_torch.database import storage
from losiko_torch.database.components import principal_components
from losiko_torch.database.index import Candidates, default_candidates, nearest_references
from losiko_torch.database.sources import SOURCE, parse_filter
from losiko_torch.descriptors.soap import SOAP
from losiko_torch.errors import InputError, StructureError
from losiko_torch.structures import Batch, check_structure

#: Atoms described at once while a database is built.
ATOMS_AT_ONCE = 1024
#: Principal components kept of the references of an element.
COMPONENTS = 512


@dataclass(frozen=True, eq=False)
class Environments:
    """Reference environments of one element.

    Attributes:
        vectors: Descriptors of unit length, projected on ``basis``, shape (N, r), float32.
        basis: Orthonormal columns, shape (F, r), float32.
        structure: Number of the structure each came from, shape (N,).
        atom: Index of the atom within that structure, shape (N,).
    """

    vectors: torch.Tensor
    basis: torch.Tensor
    structure: torch.Tensor
    atom: torch.Tensor

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def candidates(self) -> Candidates:
        return default_candidates(self.vectors)

    def restricted(self, columns: torch.Tensor) -> Environments:
        """For descriptors of which only these features, shape (f,), can differ from zero."""
        part = replace(self, basis=self.basis[columns])
        # The vectors are the same, and so is whatever finds the nearest of them.
        part.__dict__["candidates"] = self.candidates
        return part

    def project(self, p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Components (n, r) of unit descriptors (n, F), and what they leave over of |p|^2, (n,).

        For references z = basis y the distance is |p - z|^2 = |components - y|^2 + rest.
        """
        components = p @ self.basis.to(p.dtype)
        return components, (p.square().sum(1) - components.square().sum(1)).clamp(min=0)

    def gradient(
        self, p: torch.Tensor, components: torch.Tensor, slope: torch.Tensor
    ) -> torch.Tensor:
        """d/dp (n, F) of f(components) + rest, given df/dcomponents, (n, r)."""
        return torch.addmm(2 * p, slope - 2 * components, self.basis.to(p.dtype).T)

    def nearest(self, queries: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared distances and indices, both (n, k), of the ``k`` nearest to components (n, r)."""
        return nearest_references(queries, self.vectors, k, self.candidates)

    def to(self, device: torch.device | str) -> Environments:
        if self.vectors.device == _full_name(device):
            return self
        return Environments(
            *(t.to(device) for t in (self.vectors, self.basis, self.structure, self.atom))
        )


class _Described(NamedTuple):
    """Environments of one element in a few structures: vectors are (n, F)."""

    vectors: torch.Tensor
    structure: torch.Tensor
    atom: torch.Tensor


@dataclass(frozen=True, eq=False, repr=False)
class EnvironmentDatabase:
    """Known good environments of every element, and the descriptor they were made with.

    Attributes:
        descriptor: The descriptor.
        environments: By atomic number.
        structures: For each structure its formula and where it came from.
        metadata: Title, level of theory, licence and the like, as told to ``build``.
        skipped: Structures that ``build`` could not describe, with the reason.
    """

    descriptor: SOAP
    environments: dict[int, Environments]
    structures: list[dict[str, Any]]
    metadata: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @classmethod
    def build(
        cls,
        structures: AnyStructure | Iterable[AnyStructure],
        descriptor: SOAP,
        components: int | None = COMPONENTS,
        where: str | Sequence[str] = (),
        metadata: dict[str, Any] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> EnvironmentDatabase:
        """Describe every atom of the structures.

        Args:
            structures: One ``ase.Atoms`` or any iterable of them, such as a generator over a large
                file; pymatgen's ``Structure`` and ``Molecule`` count as such.
            descriptor: What to describe them with; it must not average.
            components: Principal components in which the references of an element are kept; an
                element with fewer references than that loses nothing. None keeps all.
            where: Filters on ``atoms.info`` (pymatgen's ``properties``), such as
                "e_above_hull<0.2"; all must hold.
            metadata: Kept in the database and its file, e.g. {"title": ...}; JSON.
            progress: Called with the number of structures read since the last call.

        Raises:
            InputError: If nothing is left to put into the database.

        A structure that cannot be described is left out and listed in ``skipped``.
        """
        if not isinstance(descriptor, SOAP):
            raise InputError(f"a database needs a SOAP descriptor, not {type(descriptor).__name__}")
        if descriptor.average != "off":
            raise InputError("a database needs a descriptor with average='off'")
        if components is not None and components < 1:
            raise InputError(f"components must be at least 1, not {components}")
        filters = [parse_filter(text) for text in ([where] if isinstance(where, str) else where)]
        collected: dict[int, list[_Described]] = {}
        records: list[dict[str, Any]] = []
        skipped: list[str] = []
        waiting: list[Atoms] = []
        filtered = 0

        def flush() -> None:
            for number, part in _describe(waiting, descriptor, len(records)).items():
                collected.setdefault(number, []).append(part)
            records.extend(_record(atoms) for atoms in waiting)
            waiting.clear()

        for place, given in enumerate(one_by_one(structures)):
            check_type(given, place)
            if progress is not None:
                progress(1)
            try:
                atoms = as_atoms(given)
            except StructureError as error:
                skipped.append(f"structure {place}: {error}")
                continue
            if not all(passes(atoms) for passes in filters):
                filtered += 1
                continue
            try:
                check_describable(atoms, descriptor)
            except StructureError as error:
                skipped.append(f"structure {atoms.info.get(SOURCE, place)}: {error}")
                continue
            waiting.append(atoms)
            if sum(map(len, waiting)) >= ATOMS_AT_ONCE:
                flush()
        flush()
        if not records:
            reason = f"{filtered} did not pass the filters" if filtered else "none was given"
            raise InputError(f"no structure for the database: {skipped[0] if skipped else reason}")
        environments = {
            number: _joined(parts, components) for number, parts in sorted(collected.items())
        }
        return cls(descriptor, environments, records, dict(metadata or {}), skipped)

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write one safetensors file, all or nothing; an existing file only if ``overwrite``."""
        storage.save(self, Path(path), overwrite)

    @classmethod
    def load(cls, path: str | Path, device: torch.device | str = "cpu") -> EnvironmentDatabase:
        """Read a file of ``save``.

        Raises:
            InputError: If it is not a database, is damaged, or of a newer version.
        """
        descriptor, environments, structures, metadata = storage.load(Path(path))
        loaded = {z: Environments(**tensors) for z, tensors in environments.items()}
        return cls(descriptor, loaded, structures, metadata).to(device)

    def to(self, device: torch.device | str) -> EnvironmentDatabase:
        """The same database with its tensors on ``device``."""
        if all(part.vectors.device == _full_name(device) for part in self.environments.values()):
            return self
        return replace(
            self,
            descriptor=storage.descriptor_from(self.descriptor.parameters_dict()).to(device),
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
                environments[number] = Environments(
                    part.vectors[stays], part.basis, part.structure[stays], part.atom[stays]
                )
        if not environments:
            raise InputError("no environment is left in the database")
        return replace(self, environments=environments)

    def restricted(self, numbers: Iterable[int]) -> EnvironmentDatabase:
        """The same references for structures of these elements only: cheaper, equal results.

        The last one made is kept: a relaxation and a calculator ask for the same again and again.
        """
        wanted = frozenset(numbers)
        kept = self.__dict__.get("_restriction")
        if kept is None or kept[0] != wanted:
            kept = self.__dict__["_restriction"] = (wanted, self._restricted(wanted))
        return kept[1]

    def _restricted(self, numbers: Iterable[int]) -> EnvironmentDatabase:
        descriptor, columns = self.descriptor.restricted(numbers)
        if descriptor is self.descriptor:
            return self
        columns = columns.to(self.device)
        environments = {
            z: part.restricted(columns)
            for z, part in self.environments.items()
            if z in descriptor.species
        }
        return replace(self, descriptor=descriptor, environments=environments)

    @property
    def device(self) -> torch.device:
        return next(iter(self.environments.values())).vectors.device

    def references_of(self, number: int) -> Environments:
        """Environments of the element with this atomic number.

        Raises:
            StructureError: If there are none.
        """
        if number not in self.environments:
            known = ", ".join(chemical_symbols[z] for z in self.environments)
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
            f"SOAP with {self.descriptor.get_number_of_features()} features)"
        )


def check_describable(atoms: Atoms, descriptor: SOAP) -> None:
    """Raise ``StructureError`` where a descriptor cannot describe a structure faithfully."""
    check_structure(atoms)
    descriptor.check_elements(atoms.numbers)
    if atoms.pbc.any() and not descriptor.periodic:
        raise StructureError(
            "it is periodic but the descriptor is not: use a database of periodic structures "
            "(periodic=True), or set pbc=False on the structure"
        )


def _full_name(device: torch.device | str) -> torch.device:
    """The device with its index, as tensors on it tell: "cuda:0" for "cuda"."""
    return torch.empty(0, device=device).device


def unit_features(descriptor: SOAP, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Descriptors of a batch scaled to unit length (N, F), and their lengths (N, 1)."""
    features = descriptor(batch)
    lengths = features.norm(dim=1, keepdim=True).clamp(min=torch.finfo(features.dtype).tiny)
    return features / lengths, lengths


@torch.no_grad()
def _describe(structures: list[Atoms], descriptor: SOAP, first: int) -> dict[int, _Described]:
    """Environments by element of a few structures, numbered from ``first``."""
    if not structures:
        return {}
    batch = Batch.from_atoms(structures, device=next(descriptor.buffers()).device)
    vectors = unit_features(descriptor, batch)[0].float()
    counts = batch.counts
    starts = torch.cumsum(counts, 0) - counts
    atom = torch.arange(batch.n_atoms, device=starts.device) - starts[batch.system_idx]
    described = {}
    for number in batch.numbers.unique().tolist():
        rows = batch.numbers == number
        described[number] = _Described(
            vectors[rows],
            (batch.system_idx[rows] + first).int(),
            atom[rows].int(),
        )
    return described


def _joined(parts: list[_Described], components: int | None) -> Environments:
    vectors = torch.cat([part.vectors for part in parts])
    basis = principal_components(vectors, components)
    return Environments(
        vectors @ basis,
        basis,
        torch.cat([part.structure for part in parts]),
        torch.cat([part.atom for part in parts]),
    )


def _record(atoms: Atoms) -> dict[str, Any]:
    record: dict[str, Any] = {"formula": atoms.get_chemical_formula()}
    for key in (SOURCE, "id", "name", "smiles", "material_id"):
        value = atoms.info.get(key)
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, (str, int, float)):
            record["source" if key == SOURCE else key] = value
    return record
