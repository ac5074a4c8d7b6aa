"""Least cost of a step: operations and bytes of its parts over the rates of the machine.

The counts are those of the formulas as the package evaluates them, each input read and each result
written once, intermediate results kept in caches. They are for SOAP and targets made of references,
in float32 (learned targets: ``floor_learned.py``). Radial functions come from a table. A search
uses a lower bound in few components and the distances of twice as many references as it returns;
all distances among these are taken to be computed anew. No program reaches the sum of the parts'
times, but a part far above its own has something left to gain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

from losiko_torch import SOAP, EnvironmentDatabase
from losiko_torch.search.warm_start import LEADING

#: Bytes of a number and of an index.
ITEM, INDEX = 4, 8
#: Steps in the history of L-BFGS; Verlet skin, by which lists of pairs exceed the cutoff, Angstrom.
HISTORY, SKIN = 20, 0.5
#: Operations of a table's polynomial and its slope.
LOOKUP = 20
#: Operations for the vector and distance of a pair, and for one harmonic.
PAIR, HARMONIC = 8, 8


@dataclass(frozen=True)
class Machine:
    """Measured rates: float32 operations and bytes a second."""

    flops: float
    bytes: float

    @classmethod
    def measure(cls, device: str = "cpu") -> Machine:
        """Measure a machine by a product of two square matrices and a copy (read and written)."""
        cuda = torch.device(device).type == "cuda"
        n, size = (8192, 2**28) if cuda else (1024, 2**26)
        a, b = torch.rand(n, n, device=device), torch.rand(n, n, device=device)
        source = torch.rand(size, device=device)
        target = torch.empty_like(source)
        product = _fastest(lambda: torch.mm(a, b), cuda)
        copy = _fastest(lambda: target.copy_(source), cuda)
        return cls(2 * n**3 / product, 2 * ITEM * size / copy)

    def __str__(self) -> str:
        product, copy = self.flops / 1e9, self.bytes / 1e9
        return f"{product:,.0f} GFLOP/s (float32 product), {copy:,.1f} GB/s (copy)"


@dataclass(frozen=True)
class Cost:
    """Cost of a part, in operations and bytes."""

    flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: float) -> Cost:
        return Cost(self.flops * times, self.bytes * times)

    def seconds(self, machine: Machine) -> float:
        return max(self.flops / machine.flops, self.bytes / machine.bytes)


#: Names of the parts of a relaxation.
PAIRS, DENSITY, SPECTRUM = "neighbour lists", "density", "power spectrum"
PROJECTION, TARGET, BACKWARD = "projection on components", "references' combination", "backward"
SEARCH, OPTIMIZER = "search for references", "optimizer"
PARTS = (PAIRS, DENSITY, SPECTRUM, PROJECTION, TARGET, BACKWARD, SEARCH, OPTIMIZER)
#: Cost of the optimizer's step of an atom.
STEP = Cost(8 * 3 * HISTORY, 4 * 3 * HISTORY * ITEM)


def floor(
    database: EnvironmentDatabase,
    structures: list[Atoms],
    n_neighbors: int,
    evaluations: float,
    searches: float,
) -> dict[str, Cost]:
    """Return the least cost of each part of a relaxation.

    Args:
        database: Database whose descriptor is SOAP.
        structures: Structures that are relaxed; the neighbours are those of these geometries.
        n_neighbors: References that an atom's target combines; 1 is `nearest`.
        evaluations, searches: Evaluations and searches of atoms, in all.
    """
    total = dict.fromkeys(PARTS, Cost())
    for group, share in by_elements(structures):
        own = _of_group(database, group, n_neighbors, evaluations * share, searches * share)
        total = {part: total[part] + own[part] for part in PARTS}
    return total


def by_elements(structures: list[Atoms]) -> Iterator[tuple[list[Atoms], float]]:
    """Yield structures of the same elements, which share a batch, and their share of the atoms."""
    alike: dict[frozenset[int], list[Atoms]] = {}
    for atoms in structures:
        alike.setdefault(frozenset(atoms.numbers.tolist()), []).append(atoms)
    n_atoms = sum(map(len, structures))
    for group in alike.values():
        yield group, sum(map(len, group)) / n_atoms


def elements_of(structures: list[Atoms]) -> Iterator[tuple[int, float]]:
    """Yield the atomic numbers of structures, each with its share of the atoms."""
    numbers = np.concatenate([atoms.numbers for atoms in structures])
    for number, count in zip(*np.unique(numbers, return_counts=True), strict=True):
        yield int(number), count / len(numbers)


def _of_group(
    database: EnvironmentDatabase,
    structures: list[Atoms],
    n_neighbors: int,
    evaluations: float,
    searches: float,
) -> dict[str, Cost]:
    elements = dict(elements_of(structures))
    soap = database.restricted(list(elements)).descriptor
    seen = pairs_per_atom(structures, soap.cutoff)
    channels, harmonics = len(soap.species) * soap.n_max, (soap.l_max + 1) ** 2
    features, coefficients = soap.get_number_of_features(), channels * harmonics
    by_atom = {
        PAIRS: lists(structures, soap.cutoff),
        DENSITY: Cost(expansion(soap, seen), seen * 2 * INDEX + ITEM * coefficients),
        SPECTRUM: spectrum(channels, harmonics, features),
        BACKWARD: Cost(
            back_through_spectrum(channels, harmonics, features) + 2 * expansion(soap, seen),
            ITEM * (2 * features + 2 * coefficients),
        ),
        OPTIMIZER: STEP,
    }
    costs = {part: cost * evaluations for part, cost in by_atom.items()}
    nothing = Cost()
    projection, target, search = nothing, nothing, nothing
    for number, share in elements.items():
        references = database.references_of(number)
        r, n_references = references.vectors.shape[1], len(references)
        k = min(n_neighbors, n_references)
        # To components and back to features. The basis is read once for many atoms: left out.
        project = Cost(4 * features * r, ITEM * (2 * features + 2 * r))
        projection += project * (share * evaluations)
        target += _combination(k, r) * (share * evaluations)
        candidates = min(2 * k, n_references)
        find = Cost(
            2 * n_references * (LEADING + 1) + 3 * candidates * r, ITEM * (r + candidates * r)
        )
        gram = Cost(k * k * r, ITEM * k * k) if n_neighbors > 1 else nothing
        search += (find + gram) * (share * searches)
    costs |= {PROJECTION: projection, TARGET: target, SEARCH: search}
    return {part: costs[part] for part in PARTS}


def lists(structures: list[Atoms], cutoff: float) -> Cost:
    """Cost to measure the pairs of an atom that a list with a skin has."""
    listed = pairs_per_atom(structures, cutoff + SKIN)
    return Cost(listed * PAIR, listed * 2 * INDEX)


def expansion(soap: SOAP, seen: float) -> float:
    """Operations to expand the density of so many neighbours.

    Back through it there are twice as many: gradients of the radial functions and of the harmonics
    from the same outer products.
    """
    radial = seen * (soap.l_max + 1) * soap.n_max * LOOKUP
    return radial + seen * (soap.l_max + 1) ** 2 * (HARMONIC + 2 * soap.n_max)


def spectrum(channels: int, harmonics: int, features: int) -> Cost:
    """Cost of a unit power spectrum, of half of all products of channels."""
    half = channels * (channels + 1) * harmonics
    return Cost(half + 3 * features, ITEM * (channels * harmonics + features))


def back_through_spectrum(channels: int, harmonics: int, features: int) -> float:
    """Operations back through its length and a symmetric matrix times the coefficients."""
    return 3 * features + 2 * channels * channels * harmonics


def pairs_per_atom(structures: list[Atoms], cutoff: float) -> float:
    """Mean number of atoms within the cutoff of an atom, itself among them."""
    pairs = sum(len(neighbor_list("i", atoms, cutoff)) for atoms in structures)
    return 1 + pairs / sum(map(len, structures))


def _combination(k: int, r: int) -> Cost:
    """Cost to combine k references in r components: read, multiply twice, solve a k by k system."""
    if k == 1:
        return Cost(4 * r, 3 * ITEM * r)
    return Cost(2 * k * r + 4 * k * r + 4 * k * k + k**3 / 3, ITEM * (k * r + k * k + 2 * r))


def _fastest(work: Callable[[], object], cuda: bool, times: int = 7) -> float:
    """Seconds of the fastest of a few runs."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        if cuda:
            torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    return min(took)
