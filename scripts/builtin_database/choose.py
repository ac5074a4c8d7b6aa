"""Order candidate molecules so that every prefix covers atomic environments well.

Environments are SOAP vectors, reduced by PCA for each element. Two kinds of picks alternate:

- the farthest: the molecule with the atom that is worst covered by everything picked so far;
- the most useful: the molecule that lowers most the mean distance of a random sample of
  environments to the nearest picked one (greedy facility location).

Farthest points alone would pick freaks, useful ones alone would leave the unusual uncovered.
"""

from __future__ import annotations

import heapq

import numpy as np
from ase import Atoms
from conformers import Geometry
from dscribe.descriptors import SOAP
from scipy.sparse.linalg import eigsh

ELEMENTS = {
    1: "H",
    5: "B",
    6: "C",
    7: "N",
    8: "O",
    9: "F",
    14: "Si",
    15: "P",
    16: "S",
    17: "Cl",
    35: "Br",
    53: "I",
}
COMPONENTS = 32
FARTHEST = 2.0  # separation of unit vectors, and from what has no atom of an element
FITTED = 3000  # molecules that the principal components are taken from


def elements_of(geometries: list[Geometry]) -> list[int]:
    """Atomic numbers of the built-in databases' elements that occur."""
    present = {int(z) for numbers, _ in geometries for z in numbers}
    return [z for z in ELEMENTS if z in present]


def environments(geometries: list[Geometry], elements: list[int]) -> np.ndarray:
    """Normalised SOAP vectors of all atoms."""
    species = [ELEMENTS[z] for z in elements]
    soap = SOAP(species=species, r_cut=3.0, n_max=5, l_max=4, sigma=0.4)
    features = np.concatenate([soap.create(Atoms(z, r)).astype(np.float32) for z, r in geometries])
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def describe(geometries: list[Geometry], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Element, molecule index and reduced environment of every atom of every molecule."""
    element = np.concatenate([np.asarray(z) for z, _ in geometries])
    owner = np.repeat(np.arange(len(geometries)), [len(z) for z, _ in geometries])
    elements = elements_of(geometries)
    fitted = rng.choice(len(geometries), min(FITTED, len(geometries)), replace=False)
    features = environments([geometries[k] for k in fitted], elements)
    kinds = np.concatenate([np.asarray(geometries[k][0]) for k in fitted])
    bases = {}
    for z in elements:
        part = features[kinds == z]
        if not len(part):
            continue
        part = part - part.mean(axis=0)
        gram = part.T @ part
        bases[z] = eigsh(gram, COMPONENTS, v0=np.ones(len(gram), dtype=gram.dtype))[1]
    reduced = np.zeros((len(element), COMPONENTS), dtype=np.float32)
    start = 0
    for k in range(0, len(geometries), FITTED):
        features = environments(geometries[k : k + FITTED], elements)
        chunk = slice(start, start + len(features))
        for z, basis in bases.items():
            own = element[chunk] == z
            reduced[chunk][own] = features[own] @ basis
        start += len(features)
    return element, owner, reduced


def distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Separation |p - z| of each of `points` (rows) and each of `others` (columns)."""
    squared = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * points @ others.T
    return np.sqrt(np.maximum(squared, 0))


def nearest_squared(points: np.ndarray, norms: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Squared distance of each of `points`, whose squared norms are given, to the nearest `own`."""
    return (points @ (-2 * own.T) + (own**2).sum(axis=1)).min(axis=1) + norms


def draw_sample(element: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Atoms, each element with a share by the square root of its abundance."""
    counts = np.array([(element == z).sum() for z in ELEMENTS])
    shares = (np.sqrt(counts) / np.sqrt(counts).sum() * size).astype(int)
    drawn = [
        rng.choice(np.flatnonzero(element == z), min(share, count), replace=False)
        for z, share, count in zip(ELEMENTS, shares, counts, strict=True)
    ]
    return np.concatenate(drawn)


def molecule_distances(
    element: np.ndarray, owner: np.ndarray, reduced: np.ndarray, sample: np.ndarray
) -> np.ndarray:
    """Separation of each sampled atom (columns) from the nearest atom of each molecule (rows)."""
    result = np.full((owner.max() + 1, len(sample)), FARTHEST, dtype=np.float32)
    for z in ELEMENTS:
        atoms = np.flatnonzero(element == z)
        columns = np.flatnonzero(element[sample] == z)
        if not len(columns):
            continue
        molecules, starts = np.unique(owner[atoms], return_index=True)
        for block in np.array_split(columns, 1 + len(columns) // 100):
            table = distances(reduced[atoms], reduced[sample[block]])
            result[np.ix_(molecules, block)] = np.minimum.reduceat(table, starts, axis=0)
    return result


def choose(
    geometries: list[Geometry], first: int, count: int, sample_size: int, seed: int
) -> list[int]:
    """Indices of `count` molecules in order of use; the `first` ones stay ahead of all."""
    rng = np.random.default_rng(seed)
    element, owner, reduced = describe(geometries, rng)
    sample = draw_sample(element, sample_size, rng)
    to_molecule = molecule_distances(element, owner, reduced, sample)
    groups = {z: np.flatnonzero(element == z) for z in ELEMENTS}
    points = {z: reduced[index] for z, index in groups.items()}
    norms = {z: (rows**2).sum(axis=1) for z, rows in points.items()}
    atom_distance = np.full(len(element), np.inf, dtype=np.float32)  # squared
    sample_distance = np.full(len(sample), FARTHEST, dtype=np.float32)
    order: list[int] = []

    def pick(molecule: int) -> None:
        order.append(molecule)
        np.minimum(sample_distance, to_molecule[molecule], out=sample_distance)
        own = owner == molecule
        for z in np.unique(element[own]):
            nearest = nearest_squared(points[z], norms[z], reduced[own & (element == z)])
            atom_distance[groups[z]] = np.minimum(atom_distance[groups[z]], nearest)
        atom_distance[own] = -1  # never the farthest again

    for molecule in range(first):
        pick(molecule)
    # gains only shrink as more is picked, so an old gain is an upper bound: only a molecule that
    # comes to the top of the heap has its gain computed anew
    heap = [(-np.inf, molecule) for molecule in range(first, len(geometries))]
    picked = set(order)
    while len(order) < min(count, len(geometries)):
        if len(order) % 2:
            molecule = int(owner[np.argmax(atom_distance)])
        else:
            while True:
                molecule = heapq.heappop(heap)[1]
                if molecule in picked:
                    continue
                gain = np.maximum(sample_distance - to_molecule[molecule], 0).sum()
                if not heap or gain >= -heap[0][0]:
                    break
                heapq.heappush(heap, (-float(gain), molecule))
        if molecule in picked:  # nothing is left uncovered
            break
        picked.add(molecule)
        pick(molecule)
    return order
