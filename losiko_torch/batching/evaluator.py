"""The evaluator: an objective, the precision and place of its computation, and a batch's size.

``relax``, ``score``, the calculator and the TorchSim model share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from losiko_torch.batching.cleared import Cleared
from losiko_torch.batching.memory import atoms_that_fit, check_neighbors
from losiko_torch.batching.prepare import Prepared, prepare
from losiko_torch.batching.prepare_many import prepare_many
from losiko_torch.batching.shards import shards
from losiko_torch.database.builtin import builtin_database, default_database
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.descriptors.interface import species_of
from losiko_torch.errors import InputError, StructureError
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.settings import LossSettings
from losiko_torch.loss.terms.evaluate import problem_of
from losiko_torch.loss.terms.interface import for_database
from losiko_torch.systems.atom_weights import filled
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.pymatgen import AnyStructure
from losiko_torch.systems.selection import Selection, every_atom
from losiko_torch.systems.species import check_known


@dataclass(frozen=True)
class Evaluator:
    """Objective, and where and how it is evaluated.

    Attributes:
        objective: Loss.
        factors: Weights of elements, by atomic number.
        dtype: Floating-point numbers that are computed with.
        batch_atoms: Atoms of a batch.
        learned: Whether structures must be known to the database's learned model.
    """

    objective: Objective
    factors: Mapping[int, float]
    dtype: torch.dtype
    batch_atoms: int
    learned: bool = False

    @classmethod
    def make(cls, database: EnvironmentDatabase | str | None, settings: LossSettings) -> Evaluator:
        """Return the evaluator for a database, or the built-in one of a name; None is "organic".

        Raises:
            InputError: For what is no database, a device that cannot be used, terms that do not go
                with the database, and more references an atom than memory holds.
        """
        database = _database(database)
        if settings.device is not None:
            database = database.to(settings.device)
        terms = for_database(settings.terms, database)
        target = settings.target(database.defaults)
        objective = Objective(database, target, settings.degree, terms)
        check_learned(objective)
        dtype = settings.precision
        check_neighbors(objective, dtype)
        size = settings.batch_atoms or atoms_that_fit(objective, dtype)
        return cls(objective, settings.factors, dtype, size, objective.by_model)

    @property
    def device(self) -> torch.device:
        """Place of the computation: that of the database."""
        return self.objective.database.device

    def batch(self, items: Sequence[Prepared]) -> Batch:
        """Return prepared structures, without problems, as a batch."""
        if isinstance(items, Cleared):
            return Batch.of_molecules(items.molecules, self.dtype, self.device)
        batch = Batch.from_atoms([item.atoms for item in items], self.dtype, self.device)
        arrays = {
            name: torch.as_tensor(np.concatenate([item.arrays[name] for item in items])).to(
                batch.positions
            )
            for name in items[0].arrays
        }
        weights = None
        if any(item.weights is not None for item in items):
            given = filled((item.atoms for item in items), (item.weights for item in items))
            weights = torch.as_tensor(given).to(batch.positions)
        return replace(batch, weights=weights, arrays=arrays)

    def restricted(self, items: Sequence[Prepared]) -> Evaluator:
        """Return the evaluator for the elements of these structures: cheaper, equal results."""
        if isinstance(items, Cleared):
            numbers = items.molecules.numbers
        else:
            numbers = np.concatenate([item.atoms.numbers for item in items])
        return replace(self, objective=self.objective.restricted(torch.as_tensor(numbers)))

    def prepare(
        self, given: AnyStructure, number: int = 0, select: Selection | None = None
    ) -> Prepared:
        """Return a structure, ``number`` of all, prepared; see ``batching.prepare.prepare``."""
        objective = self.objective
        found = prepare(given, number, objective.database, self.factors, objective.terms, select)
        if found.problem is None and self.learned:
            try:
                objective.model.check(np.unique(found.atoms.numbers).tolist())
            except StructureError as error:
                return replace(found, problem=str(error))
        return found

    def prepare_many(
        self,
        structures: Sequence[AnyStructure],
        first: int = 0,
        select: Callable[[int], Selection] | None = None,
    ) -> list[Prepared]:
        """Return structures, numbered from ``first``, prepared as ``prepare`` does each.

        ``select`` is the function from a structure's number to its selection. None is for
        structures that stay as they are.
        """
        simple = self.is_simple
        return prepare_many(
            structures,
            first,
            lambda given, number: self.prepare(given, number, select and select(number)),
            self.knows,
            lambda number: simple and (select is None or select(number) is every_atom),
            select is not None,
        )

    @property
    def is_simple(self) -> bool:
        """True where a structure's elements and positions are all that its loss follows from."""
        return not self.objective.terms and not self.factors

    def knows(self, number: int) -> bool:
        """Return whether the descriptor, the references and the learned model know an element."""
        objective = self.objective
        species = species_of(objective.database.descriptor)
        try:
            if species is not None:
                check_known(np.array([number]), species)
            objective.database.references_of(number)
            if self.learned:
                objective.model.check([number])
        except StructureError:
            return False
        return True

    def groups(self, structures: AnyStructure | Iterable[AnyStructure]) -> Iterator[list[Prepared]]:
        """Yield structures that stay as they are in input order, as many as fit into a batch."""
        for shard in shards(structures, self.batch_atoms):
            yield self.with_terms_checked(self.prepare_many(shard.structures, shard.first))

    def with_terms_checked(self, items: list[Prepared]) -> list[Prepared]:
        """Return prepared structures, with a problem where a term fails or is not finite.

        Raises:
            InputError: For a term that gives no number a structure.
        """
        if not self.objective.terms:
            return items
        return [self._with_terms_checked(item) for item in items]

    def _with_terms_checked(self, item: Prepared) -> Prepared:
        if item.problem is not None:
            return item
        batch = self.batch([item])
        problems = (problem_of(term, batch) for term in self.objective.terms)
        return replace(item, problem=next(filter(None, problems), None))


def check_learned(objective: Objective) -> None:
    """Raise ``InputError`` for learned targets that the database lacks, or of another degree."""
    if objective.by_model and objective.degree != 1:
        raise InputError("learned targets take no degree: theirs is no kernel distance")
    if objective.by_model:
        objective.model.check([])


def _database(given: EnvironmentDatabase | str | None) -> EnvironmentDatabase:
    if given is None:
        return default_database()
    if isinstance(given, str):
        return builtin_database(given)
    if not isinstance(given, EnvironmentDatabase):
        raise InputError(
            f"the database is a {type(given).__name__}: give an EnvironmentDatabase, "
            "for example EnvironmentDatabase.load('my.losiko')"
        )
    return given
