"""Shortest interatomic distance of every pair of elements, over all structures of a database.

Atoms of a relaxed structure should not come much closer to each other than known good atoms of the
same elements; these shortest interatomic distances are the measure of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from ase import Atoms

from losiko_torch.systems.batch import Batch
from losiko_torch.systems.neighbors import find_pairs

#: Pairs of elements by sorted atomic numbers, and their shortest interatomic distance in Angstrom.
Closest = dict[tuple[int, int], float]

#: Interatomic distance in Angstrom beyond which pairs are not recorded.
FARTHEST = 5.0
#: Atoms whose pairs are found at once; bounds the memory.
ATOMS_AT_ONCE = 512


def closest_pairs(structures: Iterable[Atoms]) -> Closest:
    """Shortest interatomic distance in Angstrom of every pair of elements, images included.

    Elements that never come within ``FARTHEST`` of each other are left out. The CPU computes in
    float64 whatever the descriptor's device, so that equal structures have equal results.
    """
    found: Closest = {}
    for group in groups(structures):
        for pair, length in _closest_of(group).items():
            found[pair] = min(length, found.get(pair, length))
    return dict(sorted(found.items()))


def united_closest(every: Iterable[Closest | None]) -> Closest | None:
    """Smallest interatomic distance of each pair of elements. None if any of ``every`` is None."""
    found: Closest = {}
    for closest in every:
        if closest is None:
            return None
        for pair, length in closest.items():
            found[pair] = min(length, found.get(pair, length))
    return dict(sorted(found.items()))


def _closest_of(structures: list[Atoms]) -> Closest:
    batch = Batch.from_atoms(structures, dtype=torch.float64, device="cpu")
    pairs = find_pairs(batch, FARTHEST, periodic=True)
    itself = pairs.center == pairs.neighbor
    if pairs.shift is not None:
        itself &= (pairs.shift == 0).all(1)
    pairs = pairs.keep(~itself)
    squared = pairs.vectors(batch).square().sum(1)
    one, other = batch.numbers[pairs.center], batch.numbers[pairs.neighbor]
    size = int(batch.numbers.max()) + 1
    code = torch.minimum(one, other) * size + torch.maximum(one, other)
    codes, place = code.unique(return_inverse=True)
    least = squared.new_full((len(codes),), torch.inf).scatter_reduce_(0, place, squared, "amin")
    return {
        (number // size, number % size): length
        for number, length in zip(codes.tolist(), least.sqrt().tolist(), strict=True)
    }


def groups(structures: Iterable[Atoms]) -> Iterator[list[Atoms]]:
    """Consecutive structures in groups of at least ``ATOMS_AT_ONCE`` atoms, but for the last."""
    group: list[Atoms] = []
    size = 0
    for atoms in structures:
        group.append(atoms)
        size += len(atoms)
        if size >= ATOMS_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group
