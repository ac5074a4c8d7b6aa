"""The database of references: for each element the descriptors of known good atoms.

>>> from ase.build import molecule
>>> from losiko_torch import SOAP, EnvironmentDatabase
>>> soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3)
>>> database = EnvironmentDatabase.build([molecule("CH3OH"), molecule("H2O")], soap)
>>> database
EnvironmentDatabase(2 structures: 6 H, 1 C, 2 O; SOAP with 312 features)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from losiko_torch.checks import positive, whole
from losiko_torch.database import file as storage
from losiko_torch.database.building.checkpoint import Parts, configuration_of
from losiko_torch.database.building.describe import describable, record_of
from losiko_torch.database.building.order import Layout
from losiko_torch.database.building.project import environments_of
from losiko_torch.database.building.survey import distances_of
from losiko_torch.database.components import COMPONENTS, usual_components
from losiko_torch.database.curate import select
from losiko_torch.database.curate.provenance import metadata_of
from losiko_torch.database.curate.union import united
from losiko_torch.database.geometries import Geometries
from losiko_torch.database.learning import check_start, geometries_of
from losiko_torch.database.record import DatabaseRecord
from losiko_torch.descriptors.interface import (
    Descriptor,
    check_cutoff,
    owned,
)
from losiko_torch.errors import InputError
from losiko_torch.io.filters import parse_filter
from losiko_torch.keywords import names_unknown
from losiko_torch.learned.fit import MEMBERS, WIDTH, FitOptions, Progress, fit_model
from losiko_torch.systems.pymatgen import AnyStructure

#: Number of parts up to which a build starts again rather than being resumed.
FEW_PARTS = 2


@dataclass(frozen=True, eq=False, repr=False)
class EnvironmentDatabase(DatabaseRecord):
    """References of every element: built, saved, loaded, curated.

    The attributes are those of ``DatabaseRecord``.
    """

    @classmethod
    @names_unknown
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
            structures: ``ase.Atoms``, or any iterable of them, such as a generator over a large
                file; pymatgen's ``Structure`` and ``Molecule`` serve too. All are held in memory
                until they are described; of their features only components are kept.
            descriptor: Descriptor of the atoms; the database keeps a copy. It must not average.
            components: Principal components in which the references of an element are kept; an
                element with fewer references than that loses nothing. "usual" means 512, and 384
                for an element with more than 100,000 references, which are rounded to float16, as
                its file keeps them. None means all.
            where: Filters on ``atoms.info`` (pymatgen's ``properties``), such as
                "e_above_hull<0.2"; all must hold.
            metadata: Title, licence and the like, e.g. {"title": ...}, ready for JSON. They stand
                before those that files of structures keep (see ``losiko_torch.io.fetching``).
            progress: Called with the number of structures done since the last call.
            parts: Folder for finished parts of a long build. After an interruption the same call
                continues from there, with the same result bit by bit. The folder stays until
                ``remove_parts`` is called.

        Raises:
            InputError: If nothing is left to put into the database; if the folder holds parts of
                other structures, or made with another descriptor or other components.

        A structure that cannot be described is left out and listed in ``skipped``. The array
        ``losiko_weight`` of a structure, one number an atom, holds the weights of its environments
        (see ``weighted``).
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
        closest, survey = distances_of(chosen)
        made = cls(
            module,
            environments,
            records,
            {**metadata_of(chosen), **(metadata or {})},
            skipped,
            closest,
            geometries=Geometries.of(chosen),
            survey=survey,
        )
        return made._checked_weights().with_lists().calibrated()

    @names_unknown
    def fit(
        self,
        seed: int = 0,
        *,
        steps: int | None = None,
        minutes: float | None = None,
        start: EnvironmentDatabase | None = None,
        members: int = MEMBERS,
        width: int = WIDTH,
        checkpoint: str | Path | None = None,
        progress: Progress | None = None,
    ) -> EnvironmentDatabase:
        """Return the database with learned targets, fitted to the geometries of its structures.

        Small networks learn the pull that leads perturbed copies of the structures back (see
        ``losiko_torch.learned``). Only geometries are used, no energies or other labels.

        Args:
            seed: Number that all random numbers follow from. The same gives the same networks.
            steps: Steps of the fit. None means what the number of structures calls for.
            minutes: Time for the fit, in place of ``steps``: turned into steps by the speed of the
                first ones.
            start: Database with learned targets to begin with, so that few structures suffice; the
                descriptor of these targets, their members and width are kept.
            members: Networks of each element, fitted in turns; their mean leads, and how much they
                disagree tells how far to trust it.
            width: Width of the networks' two hidden layers.
            checkpoint: File for what is done of the fit. After an interruption the same call goes
                on from there, with the same result bit by bit. It stays there.
            progress: Function that is called after each step with the steps done, the steps in all,
                and the error on the structures held out (squared, relative to that of no pull).

        Raises:
            InputError: If the database keeps no structures or too few, ``start`` has no learned
                targets or knows other elements, or the file belongs to another fit.
        """
        options = FitOptions(
            whole("seed", seed, 0),
            None if steps is None else whole("steps", steps),
            None if minutes is None else positive("minutes", minutes),
            whole("members", members),
            whole("width", width),
            None if checkpoint is None else Path(checkpoint),
        )
        begun = None
        if start is not None:
            begun = start.learned
            if begun is None:
                raise InputError("the database to start with carries no learned targets")
            check_start(begun.descriptor, self)
        found = fit_model(
            self.descriptor, geometries_of(self), options, begun, progress, self.device
        )
        return self.with_learned(found)

    @names_unknown
    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write one safetensors file, all or nothing; an existing file only if ``overwrite``.

        Raises:
            InputError: For a database restricted to some elements, an existing file without
                ``overwrite``, or contents that cannot be written.
        """
        if any(part.products is not None for part in self.environments.values()):
            raise InputError("a restricted database cannot be saved: save the one it was made from")
        storage.save(self, Path(path), overwrite)

    @classmethod
    @names_unknown
    def load(
        cls,
        path: str | Path,
        device: torch.device | str = "cpu",
        descriptor: Descriptor | None = None,
        exact: bool = False,
    ) -> EnvironmentDatabase:
        """Read a file of ``save``.

        Args:
            path: File to read.
            device: Device of the tensors.
            descriptor: Module that the database was made with, if that is neither SOAP nor ACSF.
            exact: Whether to search all references of an element, however many (see
                ``searched_whole``).

        Raises:
            InputError: If the file is no database, is damaged, or of a newer version; if
                ``descriptor`` is needed but missing, or differs from the one of the database.
        """
        loaded = cls._read(path, lambda stored, elements: stored.restored(descriptor, elements))
        return (loaded.searched_whole() if exact else loaded).to(device)

    @classmethod
    def look(cls, path: str | Path) -> EnvironmentDatabase:
        """Read a file to inspect it, even if its descriptor is not available."""
        return cls._read(path, lambda stored, elements: stored.shown())

    @classmethod
    def _read(cls, path: str | Path, restore: storage.Restore) -> EnvironmentDatabase:
        loaded = storage.load(Path(path), restore)
        try:
            return cls(**loaded._asdict())._checked_weights()
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def thinned(self, separation: float) -> EnvironmentDatabase:
        """The database without near-duplicates; see ``curate.select.thinned``."""
        return select.thinned(self, separation)

    def farthest(self, per_element: int) -> EnvironmentDatabase:
        """The database with few environments of each element; see ``curate.select.farthest``."""
        return select.farthest(self, per_element)

    def minus(self, other: EnvironmentDatabase, separation: float) -> EnvironmentDatabase:
        """The database without what another contains; see ``curate.select.minus``."""
        return select.minus(self, other, separation)

    def union(
        self, *others: EnvironmentDatabase, components: int | None = COMPONENTS
    ) -> EnvironmentDatabase:
        """The union of this database and others; see ``curate.union.united``."""
        return united([self, *others], components)
