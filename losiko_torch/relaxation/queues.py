"""Queues of structures that share a batch: those of the same elements, where there are enough.

A descriptor has features for every pair of elements of its batch; those of elements that a
structure lacks are zero, and work on them is wasted.
"""

from __future__ import annotations

import numpy as np

from losiko_torch.systems.columns import kinds_of

#: Batches from which structures are chosen at a time.
WINDOW = 8
#: Share of a batch that structures of the same elements have to fill to get one of their own.
WORTH_A_BATCH = 0.2
#: Elements that have a bit each in a number.
BITS = 62


def queues(numbers: np.ndarray, counts: np.ndarray, batch_atoms: int) -> list[np.ndarray]:
    """Return queues of structures that go through one batch, by their places among B.

    Structures of the same elements may be any number: they take turns. Others are described with
    the elements of all, and so are no more than fit at once.

    Args:
        numbers: Atomic numbers of all structures behind each other, shape (N,).
        counts: Atoms of each structure, shape (B,).
        batch_atoms: Most atoms of a batch, unless a single structure has more.
    """
    if not len(counts):
        return []
    kind = _kinds(numbers, counts)
    atoms = np.bincount(kind, weights=counts)
    order = np.argsort(kind, kind="stable")
    alike = np.split(order, np.searchsorted(kind[order], np.arange(1, len(atoms))))
    many = atoms >= WORTH_A_BATCH * batch_atoms
    made = [places for places, enough in zip(alike, many.tolist(), strict=True) if enough]
    mixed = np.flatnonzero(~many[kind])
    return made + _cut(mixed, counts, batch_atoms)


def _kinds(numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Number the sets of elements in the order in which they come; that of each structure, (B,)."""
    found = np.flatnonzero(np.bincount(numbers))
    full = np.flatnonzero(counts)
    begins = (np.cumsum(counts) - counts)[full]

    def of(some: np.ndarray) -> np.ndarray:
        bit = np.zeros(found[-1] + 1, dtype=np.int64)
        bit[some] = 1 << np.arange(len(some))
        key = np.zeros(len(counts), dtype=np.int64)
        key[full] = np.bitwise_or.reduceat(bit[numbers], begins)
        return key

    keys = (of(found[first : first + BITS]) for first in range(0, len(found), BITS))
    kind = kinds_of(keys, len(counts))
    _, place = np.unique(kind, return_index=True)
    return np.argsort(np.argsort(place))[kind]


def _cut(places: np.ndarray, counts: np.ndarray, batch_atoms: int) -> list[np.ndarray]:
    """Cut places into parts that fit at once."""
    ends, parts = np.cumsum(counts[places]), list[np.ndarray]()
    first = before = 0
    while first < len(places):
        end = max(first + 1, int(np.searchsorted(ends, before + batch_atoms, "right")))
        parts.append(places[first:end])
        first, before = end, ends[end - 1]
    return parts
