"""Queues of structures that share a batch: those of the same elements, where there are enough.

A descriptor has features for every pair of elements of its batch; those of elements that a
structure lacks are zero, and work on them is wasted.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

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
    counts = [len(own) for own in numbers]
    alike: dict[Hashable, list[int]] = {}
    for place, elements in enumerate(_elements(numbers, counts)):
        alike.setdefault(elements, []).append(place)
    mixed: list[int] = []
    made: list[list[int]] = []
    for places in alike.values():
        if sum(map(counts.__getitem__, places)) < WORTH_A_BATCH * batch_atoms:
            mixed += places
        else:
            made.append(places)
    return made + _cut(sorted(mixed), counts, batch_atoms)


def _elements(numbers: Sequence[np.ndarray], counts: list[int]) -> Iterable[Hashable]:
    """Return a key for the elements of each structure, equal where these are."""
    every = np.concatenate([np.empty(0, int), *numbers])
    found = np.unique(every)
    which = np.searchsorted(found, every)
    # A bit for each element, 62 of them in a number.
    full = np.flatnonzero(counts)
    begins = np.concatenate([[0], np.cumsum(counts, dtype=int)])[full]
    keys = np.zeros((len(counts), len(found) // 62 + 1), dtype=int)
    for word in range(keys.shape[1]):
        of_each = [1 << k % 62 if k // 62 == word else 0 for k in range(len(found))]
        if len(full):
            keys[full, word] = np.bitwise_or.reduceat(np.array(of_each)[which], begins)
    return map(tuple, keys.tolist())


def _cut(places: list[int], counts: list[int], batch_atoms: int) -> list[list[int]]:
    parts: list[list[int]] = []
    filled = 0
    for place in places:
        if not parts or filled + counts[place] > batch_atoms:
            parts.append([])
            filled = 0
        parts[-1].append(place)
        filled += counts[place]
    return parts
