"""Cutting a stream of structures into shards, the units that are relaxed, written and done again.

The places of the cuts depend on the structures alone and on the atoms that a shard may have, never
on the process or the time. So a shard's results are the same in one process and in many, and in a
run that was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from losiko_torch.results import Result
from losiko_torch.systems.pymatgen import AnyStructure, check_type, one_by_one, size_of

#: Shards that wait to be written while others relax.
WAITING = 2


class Shard(NamedTuple):
    """Structures that follow each other, the first of them number ``first`` of all."""

    number: int
    first: int
    structures: list[AnyStructure]


class RelaxedShard(NamedTuple):
    """Results of a shard in order, and the atoms that fitted into a batch at its end."""

    number: int
    first: int
    results: list[Result]
    batch_atoms: int


def shards(
    structures: Any, most_atoms: int, copies: Callable[[AnyStructure], int] = lambda given: 1
) -> Iterator[Shard]:
    """Cut structures, in order, so that no shard has more atoms unless a single structure has.

    Args:
        structures: As for ``relax``.
        most_atoms: Most atoms of a shard.
        copies: Function from a structure to the number of copies that will be made of it.

    Raises:
        InputError: For what is no structure.
    """
    number = first = n_atoms = 0
    waiting: list[AnyStructure] = []
    for place, given in enumerate(one_by_one(structures)):
        check_type(given, place)
        size = size_of(given) * copies(given)
        if waiting and n_atoms + size > most_atoms:
            yield Shard(number, first, waiting)
            number, first, n_atoms, waiting = number + 1, place, 0, []
        waiting.append(given)
        n_atoms += size
    if waiting:
        yield Shard(number, first, waiting)


def by_number(relaxed: Iterable[RelaxedShard]) -> Iterator[RelaxedShard]:
    """Yield shards in order; one that comes too early is kept until its turn."""
    early: dict[int, RelaxedShard] = {}
    expected = 0
    for shard in relaxed:
        early[shard.number] = shard
        while expected in early:
            yield early.pop(expected)
            expected += 1
