"""The relaxer: an evaluator and settings, applied to one shard of structures after the other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from losiko_torch.batching.cleared import Cleared, clear, taken
from losiko_torch.batching.evaluator import Evaluator, check_learned
from losiko_torch.batching.in_flight import Capacity
from losiko_torch.batching.prepare import Prepared
from losiko_torch.batching.shards import RelaxedShard, Shard, shards
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.relaxation.escape import escaped
from losiko_torch.relaxation.outcome import best_of, failure
from losiko_torch.relaxation.queues import WINDOW, queues
from losiko_torch.relaxation.settings import Settings
from losiko_torch.relaxation.stages import no_progress, run_stages
from losiko_torch.result_columns import in_order
from losiko_torch.results import Result
from losiko_torch.systems.columns import Molecules
from losiko_torch.systems.selection import Selection, every_atom, selections

#: Function that is called with the number of structures that have just finished.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Relaxer:
    """Relaxation of shards, here or, made from the same settings, in another process.

    Attributes:
        settings: Options of the relaxation.
        evaluator: Evaluator of the loss.
        select: Function from the number of a structure to the selection of its movable atoms.
        batch_atoms: Atoms of a batch, fewer than the evaluator's if memory ran out. Shards are cut
            by the latter.
    """

    settings: Settings
    evaluator: Evaluator
    select: Callable[[int], Selection]
    batch_atoms: int

    @classmethod
    def make(
        cls, structures: Any, database: EnvironmentDatabase | str | None, settings: Settings
    ) -> Relaxer:
        """Return a relaxer; ``structures`` are only counted, where they can be.

        Raises:
            InputError: For a database, device or masks that do not go with the settings.
        """
        evaluator = Evaluator.make(database, settings)
        defaults, learned = evaluator.objective.database.defaults, evaluator.learned
        for stage in settings.stages:
            objective = replace(evaluator.objective, target=stage.target(defaults))
            check_learned(objective)
            learned |= objective.by_model
        evaluator = replace(evaluator, learned=learned)
        select = selections(settings.movable, structures)
        return cls(settings, evaluator, select, evaluator.batch_atoms)

    def shards(self, structures: Any) -> Iterator[Shard]:
        """Return structures in shards of some batches, in input order."""
        most = WINDOW * self.evaluator.batch_atoms
        return shards(structures, most, self.settings.n_starts)

    def relax(self, shard: Shard, progress: Progress) -> RelaxedShard:
        """Relax one shard; ``progress`` counts copies, where there are several of a structure."""
        n_starts, capacity = self.settings.n_starts, Capacity(self.batch_atoms)
        good, items, failed = self._items(shard)
        progress(len(failed))
        _warn_of_sharp_cutoff(items, self.evaluator)
        parts: list[tuple[list[int], Sequence[Result]]] = []
        # Like structures side by side.
        for queue in queues(_numbers(items), self.batch_atoms):
            some = taken(items, queue)
            once = _Once(len(some), progress)
            evaluator = self.evaluator.restricted(some)
            relaxed = run_stages(some, evaluator, self.settings, capacity, once)
            if self.settings.seeks_saddles:
                relaxed = self._escaped(some, relaxed, evaluator, capacity)
            once(len(some))
            parts.append(([good[place] for place in queue], relaxed))
        found = in_order(parts, len(good) + len(failed), failed.__getitem__)
        if n_starts > 1:
            copied = range(0, len(found), n_starts)
            found = [best_of(found[first : first + n_starts]) for first in copied]
        return RelaxedShard(shard.number, shard.first, found, capacity.atoms)

    def _escaped(
        self,
        items: Sequence[Prepared],
        relaxed: Sequence[Result],
        evaluator: Evaluator,
        capacity: Capacity,
    ) -> Sequence[Result]:
        """Return results with none on a saddle that the symmetry of its start explains."""

        def again(shaken: Sequence[Prepared]) -> Sequence[Result]:
            return run_stages(shaken, evaluator, self.settings, capacity, no_progress)

        return escaped(items, relaxed, evaluator, again, self.settings)

    def _items(self, shard: Shard) -> tuple[list[int], Sequence[Prepared], dict[int, Result]]:
        """Return the places of what can be relaxed, that, and by place the results of what cannot.

        Each structure has its noisy copies behind it.
        """
        given = shard.structures
        if isinstance(given, Molecules) and self._takes_all_alike(shard):
            good, every = clear(given, shard.first, self.evaluator.knows)
            others = {
                k: self._one(given[k], shard.first + k) for k in np.flatnonzero(~good).tolist()
            }
            if all(item.problem is not None for item in others.values()):
                return np.flatnonzero(good).tolist(), every, _failed(others)
        copies = self._copies(shard)
        bad = {k: item for k, item in enumerate(copies) if item.problem is not None}
        places = [place for place in range(len(copies)) if place not in bad]
        return places, [copies[place] for place in places], _failed(bad)

    def _takes_all_alike(self, shard: Shard) -> bool:
        """Return whether all atoms of a shard move, and nothing but these counts."""
        if self.settings.n_starts > 1 or not self.evaluator.is_simple:
            return False
        numbers = range(shard.first, shard.first + len(shard.structures))
        return all(self.select(number) is every_atom for number in numbers)

    def _one(self, atoms: Atoms, number: int) -> Prepared:
        return self.evaluator.prepare(atoms, number, self.select(number))

    def _copies(self, shard: Shard) -> list[Prepared]:
        """Return the structures of a shard, prepared, each with its noisy copies behind it."""
        settings = self.settings
        group = self.evaluator.prepare_many(shard.structures, shard.first, self.select)
        if settings.n_starts == 1:
            return self.evaluator.with_terms_checked(group)
        copies = [
            item if copy == 0 else item.shaken(copy, settings.start_noise, settings.seed)
            for item in group
            for copy in range(settings.n_starts)
        ]
        return self.evaluator.with_terms_checked(copies)


@dataclass
class _Once:
    """Progress of structures of which some finish twice: no more are counted than there are."""

    uncounted: int
    progress: Progress

    def __call__(self, count: int) -> None:
        counted = min(count, self.uncounted)
        self.uncounted -= counted
        if counted:
            self.progress(counted)


def _failed(items: Mapping[int, Prepared]) -> dict[int, Result]:
    """Return the results of structures that cannot be worked on."""
    return {
        place: failure(item.atoms, str(item.problem), number=item.number)
        for place, item in items.items()
    }


def _numbers(items: Sequence[Prepared]) -> list[np.ndarray]:
    """Return the atomic numbers of each structure."""
    if isinstance(items, Cleared):
        return items.molecules.numbers_of_each()
    return [item.atoms.numbers for item in items]


def _warn_of_sharp_cutoff(items: Sequence[Prepared], evaluator: Evaluator) -> None:
    """Warn of jumps in the loss of periodic structures."""
    if isinstance(items, Cleared):
        return
    sharp = getattr(evaluator.objective.descriptor, "smooth_width", None) == 0
    if sharp and any(item.atoms.pbc.any() for item in items):
        # Python shows a repeated warning from one place once.
        warnings.warn(
            "the database's descriptor cuts neighbours off sharply, so that the loss of periodic "
            "structures jumps where an atom crosses the cutoff: better build it with a "
            "smooth_width, of 0.5 A for example",
            stacklevel=2,
        )
