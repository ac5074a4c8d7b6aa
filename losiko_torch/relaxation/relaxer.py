"""The relaxer: an evaluator and settings, applied to one shard of structures after the other."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from losiko_torch.accelerators import expect_atoms
from losiko_torch.batching.cleared import Cleared, clear, taken
from losiko_torch.batching.evaluator import Evaluator, check_learned
from losiko_torch.batching.in_flight import Capacity
from losiko_torch.batching.prepare import Prepared
from losiko_torch.batching.shards import RelaxedShard, Shard, shards
from losiko_torch.database.environments import EnvironmentDatabase
from losiko_torch.errors import StructureError
from losiko_torch.relaxation.ahead import compile_ahead
from losiko_torch.relaxation.escape import escaped
from losiko_torch.relaxation.outcome import best_conformer, best_of, failure
from losiko_torch.relaxation.queues import WINDOW, queues
from losiko_torch.relaxation.settings import Settings
from losiko_torch.relaxation.stages import no_progress, run_stages
from losiko_torch.relaxation.watch import NOTHING, Watch, Watching
from losiko_torch.results import Result
from losiko_torch.results.columns import in_order
from losiko_torch.systems.columns import Molecules
from losiko_torch.systems.kept import avoids_waits
from losiko_torch.systems.rdkit import conformers_of, failing, is_drawn
from losiko_torch.systems.selection import Selection, all_move, selections
from losiko_torch.systems.sound import cleared

LOGGER = logging.getLogger(__name__)
#: Function that is called with the number of structures that have just finished.
Progress = Callable[[int], None]
#: Atoms of a shard on a GPU where no references are searched, so that hardly a structure takes long
#: and the end of a shard costs little. One is read and one is written while another is relaxed.
SHARD_ATOMS = 2**18


@dataclass(frozen=True)
class Relaxer:
    """Relaxation of shards, here or, made from the same settings, in another process.

    Attributes:
        settings: Options of the relaxation.
        evaluator: Evaluator of the loss.
        select: Function from the number of a structure to the selection of its movable atoms.
        batch_atoms: Atoms of a batch, fewer than the evaluator's if memory ran out.
        shard_atoms: Atoms of a shard.
        watching: Wishes about the steps.
    """

    settings: Settings
    evaluator: Evaluator
    select: Callable[[int], Selection]
    batch_atoms: int
    shard_atoms: int
    watching: Watching = NOTHING

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
        searches = False
        for stage in settings.stages:
            objective = replace(evaluator.objective, target=stage.target(defaults))
            check_learned(objective)
            learned |= objective.by_model
            searches |= objective.searches
        evaluator = replace(evaluator, learned=learned)
        select = selections(settings.movable, structures)
        shard_atoms = WINDOW * evaluator.batch_atoms
        if avoids_waits(evaluator.device) and not searches:
            shard_atoms = max(SHARD_ATOMS, settings.batch_atoms or 0)
        return cls(settings, evaluator, select, evaluator.batch_atoms, shard_atoms)

    def shards(self, structures: Any) -> Iterator[Shard]:
        """Return structures in shards, in input order."""
        starts, conformers = self.settings.n_starts, self.settings.n_conformers
        most = self.shard_atoms
        return shards(structures, most, lambda each: starts * (conformers if is_drawn(each) else 1))

    def relax(self, shard: Shard, progress: Progress) -> RelaxedShard:
        """Relax one shard; ``progress`` is called with the number of structures just done."""
        capacity, ready = Capacity(self.batch_atoms), self._ready(shard)
        n_copies = len(ready.places) + len(ready.failed)
        progress = _InInputs(n_copies, len(shard.structures), progress)
        progress(len(ready.failed))
        numbers, counts = _numbers(ready.items)
        # By what came before as well, which a run that is resumed has not loaded kernels for.
        expect_atoms(self.evaluator.device, shard.largest)
        _warn_of_sharp_cutoff(ready.items, self.evaluator)
        parts: list[tuple[np.ndarray, Sequence[Result]]] = []
        # Like structures side by side.
        for queue in queues(numbers, counts, self.batch_atoms):
            items = taken(ready.items, queue)
            once = _Once(len(items), progress)
            evaluator = self.evaluator.restricted(items)
            watch = self._watch(items, [0] * len(items))
            compile_ahead(evaluator, self.settings, counts[queue])
            relaxed = run_stages(items, evaluator, self.settings, capacity, once, watch)
            if self.settings.seeks_saddles:
                relaxed = self._escaped(items, relaxed, evaluator, capacity)
            once(len(items))
            parts.append((ready.places[queue], relaxed))
        best = self._best(in_order(parts, n_copies, ready.failed.__getitem__), ready.conformers)
        LOGGER.info(
            "structures %d to %d are relaxed, in batches of %d atoms",
            *(shard.first, shard.first + len(best) - 1, capacity.atoms),
        )
        return RelaxedShard(shard.number, shard.first, best, capacity.atoms)

    def _escaped(
        self,
        items: Sequence[Prepared],
        relaxed: Sequence[Result],
        evaluator: Evaluator,
        capacity: Capacity,
    ) -> Sequence[Result]:
        """Return results with none on a saddle that the symmetry of its start explains."""

        def again(shaken: Sequence[Prepared], steps: list[int]) -> Sequence[Result]:
            watch = self._watch(shaken, steps, copy=-1)
            return run_stages(shaken, evaluator, self.settings, capacity, no_progress, watch)

        return escaped(items, relaxed, evaluator, again, self.settings)

    def _watch(
        self, items: Sequence[Prepared], steps: list[int], copy: int | None = None
    ) -> Watch | None:
        if not self.watching.wanted:
            return None
        if copy is not None:
            items = [replace(each, copy=copy) for each in items]
        return Watch(items, steps, self.watching)

    def _ready(self, shard: Shard) -> _Ready:
        """Return the structures of a shard as they are to be relaxed."""
        given = shard.structures
        if isinstance(given, Molecules) and self._takes_all_alike:
            sound = cleared(given) if shard.sound is None else shard.sound
            good, every = clear(given, shard.first, sound, self.evaluator.knows)
            others = {
                k: self._one(given[k], shard.first + k) for k in np.flatnonzero(~good).tolist()
            }
            if all(item.problem is not None for item in others.values()):
                return _Ready(np.flatnonzero(good), every, _failed(others), [1] * len(given))
        group = self._conformers(shard)
        copies = self.evaluator.with_terms_checked(self._copies(group))
        bad = {k: item for k, item in enumerate(copies) if item.problem is not None}
        places = [place for place in range(len(copies)) if place not in bad]
        items = [copies[place] for place in places]
        return _Ready(np.array(places, int), items, _failed(bad), [len(own) for own in group])

    @property
    def _takes_all_alike(self) -> bool:
        """True where all atoms move, nothing but these counts, and none watches."""
        if self.settings.n_starts > 1 or self.watching.wanted or not self.evaluator.is_simple:
            return False
        return self.select is all_move

    def _one(self, atoms: Atoms, number: int) -> Prepared:
        return self.evaluator.prepare(atoms, number, self.select(number))

    def _conformers(self, shard: Shard) -> list[list[Prepared]]:
        """Return the structures of a shard, prepared: one of each, or all conformers of it."""
        drawn = {k: self._drawn(each) for k, each in enumerate(shard.structures) if is_drawn(each)}
        firsts = [drawn[k][0] if k in drawn else each for k, each in enumerate(shard.structures)]
        group = [[item] for item in self.evaluator.prepare_many(firsts, shard.first, self.select)]
        for k, conformers in drawn.items():
            number = shard.first + k
            group[k] += [
                self.evaluator.prepare(each, number, self.select(number)) for each in conformers[1:]
            ]
        return group

    def _drawn(self, given: Any) -> list[Atoms]:
        """Return the conformers of a molecule, or a structure that fails in their place."""
        try:
            return conformers_of(given, self.settings.n_conformers, self.settings.seed)
        except StructureError as error:
            return [failing(given, str(error))]

    def _copies(self, group: list[list[Prepared]]) -> list[Prepared]:
        """Return prepared structures, each with its noisy copies behind it."""
        settings, n_starts = self.settings, self.settings.n_starts
        copies = []
        for own in group:
            for number, item in enumerate(own):
                first = number * n_starts
                copies.append(item if first == 0 else replace(item, copy=first))
                for copy in range(first + 1, first + n_starts):
                    copies.append(item.shaken(copy, settings.start_noise, settings.seed))
        return copies

    def _best(self, results: Sequence[Result], counts: list[int]) -> Sequence[Result]:
        """Return the best of the results of each input, of which there are so many conformers."""
        n_starts = self.settings.n_starts
        if n_starts > 1:
            copied = range(0, len(results), n_starts)
            results = [best_of(results[first : first + n_starts]) for first in copied]
        if len(results) == len(counts):
            return results
        ends = np.cumsum([0, *counts]).tolist()
        own = [results[begin:end] for begin, end in pairwise(ends)]
        return [each[0] if len(each) == 1 else best_conformer(each) for each in own]


class _Ready(NamedTuple):
    """Structures of a shard, each with its conformers and noisy copies behind it.

    ``places`` are those of the ``items`` among all of these, ``failed`` has the results of what
    cannot be relaxed, by place, and ``conformers`` their number for each input.
    """

    places: np.ndarray
    items: Sequence[Prepared]
    failed: dict[int, Result]
    conformers: list[int]


@dataclass
class _InInputs:
    """Progress in inputs, of which there are several copies."""

    copies: int
    inputs: int
    progress: Progress
    done: int = 0

    def __call__(self, count: int) -> None:
        before = self.done * self.inputs // max(self.copies, 1)
        self.done += count
        inputs = self.done * self.inputs // max(self.copies, 1) - before
        if inputs:
            self.progress(inputs)


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


def _numbers(items: Sequence[Prepared]) -> tuple[np.ndarray, np.ndarray]:
    """Return the atomic numbers of all structures behind each other, and the atoms of each."""
    if isinstance(items, Cleared):
        return items.molecules.numbers, items.molecules.counts
    each = [item.atoms.numbers for item in items]
    return np.concatenate([np.empty(0, int), *each]), np.array([len(own) for own in each], int)


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
