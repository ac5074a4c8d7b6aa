"""Shortest interatomic distance of every pair of elements, over all structures of a database.

Atoms of a relaxed structure should not come much closer to each other than known good atoms of the
same elements; these shortest interatomic distances are the measure of that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from ase.data import atomic_numbers, chemical_symbols, covalent_radii

from losiko_torch.errors import InputError
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.bonds import Lengths

#: Pairs of elements by sorted atomic numbers, and their shortest interatomic distance in Angstrom.
Closest = dict[tuple[int, int], float]


def closest_of(batch: Batch, near: Lengths) -> Closest:
    """Return the shortest of these interatomic distances of a batch for each pair of elements."""
    one, other = batch.numbers[near.pairs.center], batch.numbers[near.pairs.neighbor]
    size = int(batch.numbers.max()) + 1
    code = torch.minimum(one, other) * size + torch.maximum(one, other)
    codes, place = code.unique(return_inverse=True)
    none = near.lengths.new_full((len(codes),), torch.inf)
    least = none.scatter_reduce_(0, place, near.lengths, "amin")
    return {
        (number // size, number % size): length
        for number, length in zip(codes.tolist(), least.tolist(), strict=True)
    }


def shortest(one: Closest, other: Closest) -> Closest:
    """Return the smaller interatomic distance of each pair of elements in either."""
    found = dict(one)
    for pair, length in other.items():
        found[pair] = min(length, found.get(pair, length))
    return dict(sorted(found.items()))


def united_closest(every: Iterable[Closest | None]) -> Closest | None:
    """Smallest interatomic distance of each pair of elements. None if any of ``every`` is None."""
    found: Closest = {}
    for closest in every:
        if closest is None:
            return None
        found = shortest(found, closest)
    return found


def closest_table(closest: Mapping[tuple[int, int], float], share: float = 1.0) -> torch.Tensor:
    """Return distances of all pairs of elements, Angstrom, shape (Z, Z), float64.

    Args:
        closest: Distances that are known, by pairs of atomic numbers.
        share: Share of the sum of the covalent radii that others have.
    """
    radii = torch.as_tensor(covalent_radii)
    table = share * (radii[:, None] + radii[None, :])
    if closest:
        first, second = torch.tensor(list(closest)).T
        distances = torch.tensor(list(closest.values()), dtype=table.dtype)
        table[first, second] = table[second, first] = distances
    return table


def named_by_pair(closest: Closest) -> dict[str, float]:
    """Return distances by pairs such as "C-H", for JSON."""
    return {
        "-".join(sorted(chemical_symbols[number] for number in pair)): length
        for pair, length in closest.items()
    }


def of_named_pairs(named: Mapping[str, float]) -> Closest:
    """Return the distances that ``named_by_pair`` named.

    Raises:
        InputError: For one that is no distance.
    """
    closest: Closest = {}
    for name, length in named.items():
        one, other = sorted(atomic_numbers[symbol] for symbol in name.split("-"))
        if not isinstance(length, float) or not 0 < length < math.inf:
            raise InputError(f"its shortest interatomic distance of {name} is damaged")
        closest[one, other] = length
    return dict(sorted(closest.items()))
