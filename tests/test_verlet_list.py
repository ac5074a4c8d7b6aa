"""Laws of Verlet lists: never stale, seldom made anew, and which atoms can change at all."""

import numpy as np
import pytest
import torch
from ase.build import bulk, fcc111, molecule

from losiko_torch import SOAP, Batch
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.systems import verlet_list
from losiko_torch.systems.neighbors import find_pairs
from losiko_torch.systems.verlet_list import SKIN, VerletList

CUTOFF = 3.3


def structures():
    slab = fcc111("Al", (2, 2, 3), a=4.05, vacuum=6.0)
    slab.pbc = [True, True, False]
    crystal = bulk("SiC", "zincblende", a=4.36) * (2, 1, 1)
    small = bulk("Cu", "fcc", a=3.6)
    every = [molecule("CH3CH2OH"), slab, crystal, molecule("H2O"), small]
    for k, atoms in enumerate(every):
        atoms.rattle(0.05, seed=k)
    return every


def all_moving(batch):
    return torch.ones(batch.n_atoms, dtype=torch.bool)


def same(one, other, batch):
    assert torch.equal(one.center, other.center)
    assert torch.equal(one.neighbor, other.neighbor)
    assert torch.equal(one.vectors(batch), other.vectors(batch))


def walk(steps, width, seed=0, cells=True):
    """Rows of a random walk of positions and cells, as an optimizer would make them."""
    batch = Batch.from_atoms(structures())
    movable = torch.ones_like(batch.positions)
    coordinates = (Coordinates.moving_cell if cells else Coordinates.fixed_cell)(batch, movable)
    generator = torch.Generator().manual_seed(seed)
    rows = coordinates.rows()
    for _ in range(steps):
        way = torch.randn(rows.shape, generator=generator, dtype=rows.dtype)
        if cells:
            strain = coordinates.strains @ way[batch.n_atoms :].reshape(-1, 9, 1)
            way = torch.cat([way[: batch.n_atoms], strain.reshape(-1, 3)])
        rows = rows + width * way
        yield coordinates.place(rows)


@pytest.mark.parametrize("cells", [False, True])
def test_never_stale(cells):
    lists = None
    for batch in walk(60, 0.03, cells=cells):
        if lists is None:
            lists = VerletList.make(batch, all_moving(batch), CUTOFF, periodic=True)
        lists = lists.at(batch)
        same(lists.active(batch).pairs, find_pairs(batch, CUTOFF, periodic=True), batch)


def test_a_squeezed_cell_is_noticed_though_no_atom_moves_in_it():
    atoms = bulk("Cu", "fcc", a=3.6)
    batch = Batch.from_atoms(atoms)
    lists = VerletList.make(batch, all_moving(batch), CUTOFF, periodic=True)
    for scale in (0.98, 0.95, 0.9, 0.8, 0.7, 1.0, 1.3):
        squeezed = atoms.copy()
        squeezed.set_cell(atoms.cell * [[1], [1], [scale]], scale_atoms=True)
        here = Batch.from_atoms(squeezed)
        lists = lists.at(here)
        same(lists.active(here).pairs, find_pairs(here, CUTOFF, periodic=True), here)


def test_made_anew_only_when_atoms_moved_enough(monkeypatch):
    batch = Batch.from_atoms(structures())
    lists = VerletList.make(batch, all_moving(batch), CUTOFF, periodic=True)
    searched = []

    def counted(batch, *arguments):
        searched.append(batch.n_systems)
        return find_pairs(batch, *arguments)

    monkeypatch.setattr(verlet_list, "find_pairs", counted)
    near = batch.positions.clone()
    near[:, 0] += 0.49 * SKIN
    assert lists.at(batch.with_positions(near)) is lists
    far = batch.positions.clone()
    far[0, 0] += 9 * SKIN  # an atom of ethanol, all of whose pairs are listed
    assert lists.at(batch.with_positions(far)) is lists
    far[9, 0] += 0.51 * SKIN  # an atom of the slab
    anew = lists.at(batch.with_positions(far))
    assert searched == [1]
    assert anew.at(batch.with_positions(far)) is anew


def test_structures_that_leave_take_their_pairs_along():
    batches = list(walk(10, 0.03))
    lists = VerletList.make(batches[0], all_moving(batches[0]), CUTOFF, periodic=True)
    stays = torch.tensor([False, True, True, False, True])
    kept = lists.keep(stays)
    for batch in batches:
        part = batch.keep(stays)
        kept = kept.at(part)
        same(kept.active(part).pairs, find_pairs(part, CUTOFF, periodic=True), part)


def test_only_atoms_near_moving_ones_change():
    atoms = bulk("Si", "diamond", a=5.43, cubic=True) * 3
    atoms.rattle(0.05, seed=1)
    soap = SOAP(species=["Si"], r_cut=2.5, n_max=3, l_max=2, sigma=0.2, periodic=True)
    batch = Batch.from_atoms(atoms)
    moving = torch.zeros(batch.n_atoms, dtype=torch.bool)
    moving[[5, 100]] = True
    lists = VerletList.make(batch, moving, soap.cutoff, periodic=True)
    assert lists.centers is not None
    assert {5, 100} <= set(lists.centers.tolist())
    assert len(lists.centers) < batch.n_atoms / 2
    generator = np.random.default_rng(0)
    before = soap(batch)
    for _ in range(20):
        positions = batch.positions.clone()
        push = generator.normal(size=(2, 3))
        push *= 0.49 * SKIN / np.linalg.norm(push, axis=1, keepdims=True)
        positions[moving] += torch.as_tensor(push)
        here = batch.with_positions(positions)
        assert lists.at(here) is lists
        changed = ((soap(here) - before).abs().amax(1) > 0).nonzero().squeeze(1)
        assert set(changed.tolist()) <= set(lists.centers.tolist())
        pairs = lists.active(here).pairs
        assert set(pairs.center.tolist()) == set(lists.centers.tolist())


def test_nothing_moves():
    batch = Batch.from_atoms(structures())
    nothing = ~all_moving(batch)
    lists = VerletList.make(batch, nothing, CUTOFF, periodic=True)
    assert lists.centers is not None
    assert len(lists.centers) == 0
    assert len(lists.active(batch).pairs.center) == 0


def test_an_atom_that_lost_sight_of_a_moving_one_is_looked_at_once_more():
    """Neighbours of an atom that leaps away are evaluated once more: their loss has changed."""
    line = molecule("H2O") + molecule("H2O")
    line.positions[3:] += [20.0, 0, 0]
    batch = Batch.from_atoms(line)
    moving = torch.tensor([True] + [False] * 5)
    lists = VerletList.make(batch, moving, CUTOFF, periodic=False)
    assert lists.centers.tolist() == [0, 1, 2]
    away = batch.positions.clone()
    away[0] += torch.tensor([20.0, 0, 3.0])
    there = batch.with_positions(away)
    leapt = lists.at(there)
    assert leapt.centers is None
    same(leapt.active(there).pairs, find_pairs(there, CUTOFF, periodic=False), there)
    pair = leapt.keep(torch.tensor([True]))
    assert pair.centers is None
