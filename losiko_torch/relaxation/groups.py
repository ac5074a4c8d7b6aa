"""Relaxing a group of structures, like ones side by side: from what was prepared to results."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from losiko_torch.batching.evaluator import Workplace
from losiko_torch.batching.in_flight import Room
from losiko_torch.batching.prepare import Prepared
from losiko_torch.relaxation.outcome import best_of, failure
from losiko_torch.relaxation.queues import queues
from losiko_torch.relaxation.settings import Method
from losiko_torch.relaxation.stages import run_stages
from losiko_torch.results import Result


class Relaxed(NamedTuple):
    """Results in input order, and the atoms that a batch had room for.

    They are fewer than were asked for if memory ran out: what comes next had better begin with
    them.
    """

    results: list[Result]
    batch_atoms: int


def relax_group(
    group: list[Prepared],
    work: Workplace,
    method: Method,
    batch_atoms: int,
    finished: Callable[[int], None],
) -> Relaxed:
    """Relax structures, like ones side by side, with at most ``batch_atoms`` atoms at a time.

    ``finished`` is told of every copy of a structure, some at a time.
    """
    n_starts = method.n_starts
    copies = [
        item if copy == 0 else item.shaken(copy, method.start_noise, method.seed)
        for item in group
        for copy in range(n_starts)
    ]
    results = {
        place: failure(item.atoms, item.problem)
        for place, item in enumerate(copies)
        if item.problem is not None
    }
    finished(len(results))
    good = [place for place in range(len(copies)) if place not in results]
    _warn_of_sharp_cutoff([copies[place] for place in good], work)
    room = Room(batch_atoms)
    for queue in queues([copies[place].atoms.numbers for place in good], batch_atoms):
        places = [good[number] for number in queue]
        items = [copies[place] for place in places]
        tell = _Once(len(items), finished)
        relaxed = run_stages(items, work.restricted(items), method, room, tell)
        tell(len(items))
        results.update(zip(places, relaxed, strict=True))
    starts = [results[place] for place in range(len(copies))]
    if n_starts == 1:
        return Relaxed(starts, room.atoms)
    best = [best_of(starts[first : first + n_starts]) for first in range(0, len(starts), n_starts)]
    return Relaxed(best, room.atoms)


@dataclass
class _Once:
    """Tells of structures that finished, though some may do so twice: of no more than there are."""

    untold: int
    finished: Callable[[int], None]

    def __call__(self, count: int) -> None:
        told = min(count, self.untold)
        self.untold -= told
        if told:
            self.finished(told)


def _warn_of_sharp_cutoff(items: list[Prepared], work: Workplace) -> None:
    sharp = getattr(work.objective.database.descriptor, "smooth_width", None) == 0
    if sharp and any(item.atoms.pbc.any() for item in items):
        # Python shows a repeated warning from one place once.
        warnings.warn(
            "the database's descriptor cuts neighbours off sharply, so that the loss of periodic "
            "structures jumps where an atom crosses the cutoff: better build it with a "
            "smooth_width, of 0.5 A for example",
            stacklevel=2,
        )
