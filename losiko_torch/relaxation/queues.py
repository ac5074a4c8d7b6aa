"""Queues of structures that share a batch: those of the same elements, where there are enough.

A descriptor has features for every pair of elements of its batch; those of elements that a
structure lacks are zero, and work on them is wasted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Batches from which structures are chosen at a time.
WINDOW = 8
#: Share of a batch that structures of the same elements have to fill to get one of their own.
WORTH_A_BATCH = 0.2


def queues(numbers: Sequence[np.ndarray], batch_atoms: int) -> list[list[int]]:
    """Return queues of structures that go through one batch, by their places in the sequence.

    Structures of the same elements may be any number: they take turns. Others are described with
    the elements of all, and so are no more than fit at once.

    Args:
        numbers: Atomic numbers of each structure.
        batch_atoms: Most atoms of a batch, unless a single structure has more.
    """
    alike: dict[frozenset[int], list[int]] = {}
    for place, own in enumerate(numbers):
        alike.setdefault(frozenset(np.unique(own).tolist()), []).append(place)
    mixed: list[int] = []
    made: list[list[int]] = []
    for places in alike.values():
        if sum(len(numbers[place]) for place in places) < WORTH_A_BATCH * batch_atoms:
            mixed += places
        else:
            made.append(places)
    return made + _cut(sorted(mixed), numbers, batch_atoms)


def _cut(places: list[int], numbers: Sequence[np.ndarray], batch_atoms: int) -> list[list[int]]:
    parts: list[list[int]] = []
    filled = 0
    for place in places:
        if not parts or filled + len(numbers[place]) > batch_atoms:
            parts.append([])
            filled = 0
        parts[-1].append(place)
        filled += len(numbers[place])
    return parts
