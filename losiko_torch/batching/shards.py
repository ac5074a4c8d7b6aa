"""Cutting a stream of structures into shards, the units that are relaxed, written and done again.

The places of the cuts depend on the structures alone and on the atoms that a shard may have, never
on the process or the time. So a shard's results are the same in one process and in many, and in a
run that was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from losiko_torch.io.stream import Stream
from losiko_torch.results import Result
from losiko_torch.systems.columns import Molecules
from losiko_torch.systems.pymatgen import AnyStructure, check_type, one_by_one, size_of

#: Shards that wait to be written while others relax.
WAITING = 2


class Shard(NamedTuple):
    """Structures that follow each other, the first of them number ``first`` of all.

    ``largest`` are the atoms of the largest shard up to this one, and ``sound`` is the mask of the
    structures that are sound for certain; None if nobody has looked.
    """

    number: int
    first: int
    structures: Sequence[AnyStructure]
    largest: int = 0
    sound: np.ndarray | None = None


class RelaxedShard(NamedTuple):
    """Results of a shard in order, and the atoms that fitted into a batch at its end."""

    number: int
    first: int
    results: Sequence[Result]
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
    number = first = n_atoms = place = largest = 0
    waiting: list[Sequence[AnyStructure]] = []
    for block in _blocks(structures):
        begin = 0
        for k, size in enumerate(_sizes(block, place, copies)):
            if place + k > first and n_atoms + size > most_atoms:
                largest = max(largest, n_atoms)
                yield Shard(number, first, _together([*waiting, block[begin:k]]), largest)
                number, first, n_atoms, waiting, begin = number + 1, place + k, 0, [], k
            n_atoms += size
        waiting.append(block[begin:])
        place += len(block)
    if place > first:
        yield Shard(number, first, _together(waiting), max(largest, n_atoms))


def _blocks(structures: Any) -> Iterable[Sequence[AnyStructure]]:
    """Return structures in the blocks that they are read in, or each by itself."""
    if isinstance(structures, Stream):
        return structures.blocks()
    return ([each] for each in one_by_one(structures))


def _sizes(
    block: Sequence[AnyStructure], place: int, copies: Callable[[AnyStructure], int]
) -> Iterator[int]:
    """Yield the atoms of all copies of each structure of a block, the first of number ``place``."""
    if isinstance(block, Molecules):
        yield from (block.counts * copies(block[0])).tolist() if len(block) else ()
        return
    for number, given in enumerate(block, place):
        check_type(given, number)
        yield size_of(given) * copies(given)


def _together(blocks: Sequence[Sequence[AnyStructure]]) -> Sequence[AnyStructure]:
    """Return the structures of several blocks, in arrays where all of them are."""
    blocks = [block for block in blocks if len(block)]
    molecules = [block for block in blocks if isinstance(block, Molecules)]
    if len(molecules) == len(blocks) and len({tuple(each.facts) for each in molecules}) == 1:
        return Molecules.joined(molecules)
    return list(chain.from_iterable(blocks))


def by_number(relaxed: Iterable[RelaxedShard]) -> Iterator[RelaxedShard]:
    """Yield shards in order; one that comes too early is kept until its turn."""
    early: dict[int, RelaxedShard] = {}
    expected = 0
    for shard in relaxed:
        early[shard.number] = shard
        while expected in early:
            yield early.pop(expected)
            expected += 1
