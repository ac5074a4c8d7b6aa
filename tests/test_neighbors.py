"""Pairs within a cutoff, against ASE's neighbour list."""

import itertools

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list

from losiko_torch.systems.batch import Batch
from losiko_torch.systems.neighbors import ALL_PAIRS_LIMIT, close_pairs, find_pairs

SKEWED = [[2.1, 0.0, 0.0], [1.9, 1.6, 0.0], [-0.7, 1.1, 2.4]]


def as_set(center, neighbor, shift) -> list[tuple[int, ...]]:
    rows = np.column_stack([center, neighbor, shift]).astype(int)
    return sorted(map(tuple, rows.tolist()))


def ours(structures, cutoff: float, periodic: bool = True):
    batch = Batch.from_atoms(structures)
    pairs = find_pairs(batch, cutoff, periodic)
    shift = torch.zeros(len(pairs.center), 3) if pairs.shift is None else pairs.shift
    return batch, pairs, as_set(pairs.center, pairs.neighbor, shift)


def ases(atoms: Atoms, cutoff: float, start: int = 0) -> list[tuple[int, ...]]:
    """Pairs by ASE, with those that it leaves out: the atom itself, and pairs at the cutoff."""
    center, neighbor, shift = neighbor_list("ijS", atoms, cutoff)
    itself = np.arange(len(atoms))
    return as_set(
        np.concatenate([itself, center]) + start,
        np.concatenate([itself, neighbor]) + start,
        np.concatenate([np.zeros((len(atoms), 3)), shift]),
    )


def scattered(cell, count: int, pbc, seed: int = 0) -> Atoms:
    """Atoms spread over three cells in each direction, so that some lie outside."""
    fractional = np.random.default_rng(seed).uniform(-1, 2, size=(count, 3))
    return Atoms(f"C{count}", positions=fractional @ np.array(cell), cell=cell, pbc=pbc)


@pytest.mark.parametrize("pbc", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize("cell", [np.diag([3.0, 4.0, 5.0]).tolist(), SKEWED], ids=["box", "skew"])
def test_equals_ase_for_every_periodicity(cell, pbc):
    atoms = scattered(cell, 5, pbc)
    batch, pairs, found = ours(atoms, 5.3)
    assert found == ases(atoms, 5.3)
    assert len(set(found)) == len(found)
    assert (pairs.vectors(batch).norm(dim=1) <= 5.3).all()


def test_missing_cell_vectors_in_open_directions():
    wire = Atoms("CH", positions=[[0, 0, 0], [0.5, 0.6, 1.0]], cell=[0, 0, 2.0], pbc=(0, 0, 1))
    assert ours(wire, 4.1)[2] == ases(wire, 4.1)


def test_cell_much_smaller_than_cutoff():
    atoms = bulk("Cu", "fcc", a=3.6)
    found = ours(atoms, 9.0)[2]
    assert found == ases(atoms, 9.0)
    assert len(found) == 249


def test_periodicity_can_be_ignored():
    atoms = scattered(SKEWED, 5, True)
    _, pairs, found = ours(atoms, 3.0, periodic=False)
    assert pairs.shift is None
    cluster = Atoms(atoms.numbers, atoms.positions)
    assert found == ases(cluster, 3.0)


def test_mixed_batch_is_the_union_of_its_structures():
    structures = [
        molecule("CH3OH"),
        scattered(SKEWED, 4, (True, False, True), seed=1),
        molecule("H2O"),
        bulk("NaCl", "rocksalt", a=5.6),
        Atoms("H"),
    ]
    expected, start = [], 0
    for atoms in structures:
        expected += ases(atoms, 4.5, start)
        start += len(atoms)
    batch, pairs, found = ours(structures, 4.5)
    assert found == sorted(expected)
    assert (batch.system_idx[pairs.center] == batch.system_idx[pairs.neighbor]).all()
    assert (pairs.center.diff() >= 0).all()


def test_large_cluster_by_cell_list_equals_all_pairs():
    count = ALL_PAIRS_LIMIT + 30
    positions = np.random.default_rng(3).uniform(0, 14, size=(count, 3))
    positions[:, 2] = positions[:, 2] * 0.3 + positions[:, 0]
    _, pairs, found = ours(Atoms(f"H{count}", positions=positions), 3.5)
    distance = np.linalg.norm(positions[:, None] - positions, axis=-1)
    assert found == as_set(
        *np.nonzero(distance <= 3.5), np.zeros((int((distance <= 3.5).sum()), 3))
    )
    assert (pairs.center == pairs.neighbor).sum() == count


@pytest.mark.parametrize("pbc", [False, True])
def test_points_see_but_are_not_seen(pbc):
    atoms = Atoms("XHX", positions=[[0, 0, 0], [0, 0, 0], [0, 0, 1.0]], cell=[3, 3, 3], pbc=pbc)
    _, pairs, found = ours(atoms, 1.5)
    assert (pairs.neighbor == 1).all()
    assert found == [(0, 1, 0, 0, 0), (1, 1, 0, 0, 0), (2, 1, 0, 0, 0)]


def test_order_is_repeatable():
    structures = [scattered(SKEWED, 6, True, seed) for seed in range(3)]
    first, second = ours(structures, 5.0)[1], ours(structures, 5.0)[1]
    assert torch.equal(first.center, second.center)
    assert torch.equal(first.neighbor, second.neighbor)
    assert torch.equal(first.shift, second.shift)


def test_no_structures():
    batch, pairs, found = ours([], 3.0)
    assert found == []
    assert pairs.vectors(batch).shape == (0, 3)


def test_close_pairs_sees_across_the_boundary():
    atoms = Atoms("H3", positions=[[0.02, 0, 0], [1.5, 0, 0], [2.98, 0, 0]], cell=[3, 3, 3])
    assert len(close_pairs(atoms, 0.1)[0]) == 0
    atoms.pbc = True
    first, second = close_pairs(atoms, 0.1)
    assert {int(first[0]), int(second[0])} == {0, 2}
    assert len(first) == 1


def test_close_pairs_of_a_molecule_without_cell():
    atoms = Atoms("H3", positions=[[0, 0, 0], [0, 0, 0.05], [0, 0, 1]])
    first, second = close_pairs(atoms, 0.1)
    assert sorted([int(first[0]), int(second[0])]) == [0, 1]
