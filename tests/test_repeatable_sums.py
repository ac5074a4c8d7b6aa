"""A step asks a GPU for no sum whose order changes from run to run, counted on the processor."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from unordered_sums import UnorderedSums

from losiko_torch import ACSF, SOAP, Batch, EnvironmentDatabase
from losiko_torch.database.builtin import default_database
from losiko_torch.learned.pull import Good, pull
from losiko_torch.loss.objective import Objective
from losiko_torch.loss.settings import make_target
from losiko_torch.loss.terms.evaluate import evaluate_terms
from losiko_torch.loss.terms.interface import arrays_of
from losiko_torch.loss.terms.repulsion import Repulsion
from losiko_torch.loss.terms.tether import Tether
from losiko_torch.optimizers.lbfgs import LBFGS
from losiko_torch.relaxation.batch_loop import advance, begin
from losiko_torch.relaxation.batch_state import Limits
from losiko_torch.relaxation.coordinates import Coordinates
from losiko_torch.relaxation.finished import Finished
from losiko_torch.systems import neighbors, sums, verlet_list
from losiko_torch.systems.sums import gathered, summed

NAMES = ["CH3OH", "CH3CONH2", "HCOOH", "H2O"]


@pytest.fixture(autouse=True)
def way_of_a_gpu(monkeypatch):
    """Add as on a GPU, whose own sums are in any order."""
    for module in (sums, neighbors):
        monkeypatch.setattr(module, "adds_in_any_order", lambda device: True)
    monkeypatch.setattr(verlet_list, "avoids_waits", lambda device: True)


@contextmanager
def none_found():
    with UnorderedSums() as seen:
        yield
    assert seen.found == []


def molecules():
    structures = [molecule(name) for name in NAMES]
    for k, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=k)
    return structures


def crystals():
    structures = [bulk("NaCl", "rocksalt", a=5.64), bulk("NaCl", "rocksalt", a=5.6) * (2, 1, 1)]
    for k, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=k)
    return structures


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, index: x.index_add(0, index, torch.ones(4)),
        lambda x, index: x.scatter_add(0, index, torch.ones(4)),
        lambda x, index: x.scatter_reduce(0, index, torch.ones(4), "sum"),
        lambda x, index: x.index_put((index,), torch.ones(4), accumulate=True),
        lambda x, index: x.index_put((index,), torch.ones(4)),
        lambda x, index: x.put(index, torch.ones(4)),
        lambda x, index: x.cumsum(0),
        lambda x, index: torch.bincount(index, weights=torch.ones(4)),
        lambda x, index: x[index].sum().backward(),
        lambda x, index: x.index_select(0, index).sum().backward(),
        lambda x, index: x.gather(0, index).sum().backward(),
        lambda x, index: torch.repeat_interleave(x, torch.tensor([2, 1, 1])).sum().backward(),
    ],
)
def test_finds_what_adds_in_any_order(operation):
    x = torch.zeros(3, requires_grad=True)
    with UnorderedSums() as seen:
        operation(x, torch.tensor([0, 2, 2, 1]))
    assert len(seen.found) == 1
    with UnorderedSums() as seen:
        whole = torch.zeros(3, dtype=torch.long)
        whole.index_add_(0, torch.tensor([0, 0]), torch.tensor([1, 2]))
        x.detach().scatter_reduce(0, torch.tensor([1, 1]), torch.ones(2), "amax")
        x.detach()[torch.tensor([0, 2])] = 1.0
    assert seen.found == []


def steps(objective, structures, cell=False, count=4):
    """Take some steps of a relaxation."""
    batch = Batch.from_atoms(structures, torch.float32)
    movable = torch.ones_like(batch.positions)
    make = Coordinates.moving_cell if cell else Coordinates.fixed_cell
    everyone, optimizer = make(batch, movable), LBFGS()
    now = begin(objective, everyone, torch.ones(batch.n_systems, dtype=torch.bool), optimizer)
    finished = Finished.at_start(batch)
    for _ in range(count):
        if now is not None:
            now, _ = advance(objective, optimizer, now, Limits(200, 1e-9), finished)


def test_learned_targets():
    with none_found():
        steps(Objective(default_database(), make_target("learned")), molecules())


@pytest.mark.parametrize("targets", ["nearest", "locally-linear"])
@pytest.mark.parametrize("make", [molecules, crystals])
def test_references(targets, make):
    descriptor = SOAP(
        species=["H", "C", "N", "O", "Na", "Cl"],
        r_cut=3.0,
        n_max=2,
        l_max=2,
        sigma=0.5,
        smooth_width=0.5,
        periodic=make is crystals,
    )
    database = EnvironmentDatabase.build(make(), descriptor)
    terms = (Repulsion().for_database(database),)
    with none_found():
        objective = Objective(database, make_target(targets), terms=terms)
        steps(objective, make(), cell=make is crystals)


@pytest.mark.parametrize("periodic", [False, True])
def test_descriptors_by_autograd(periodic):
    structures = crystals() if periodic else molecules()
    species = sorted({symbol for atoms in structures for symbol in atoms.get_chemical_symbols()})
    functions = {"g2_params": [[1.0, 1.0]], "g4_params": [[0.5, 1.0, 1.0]]}
    soap = SOAP(species=species, r_cut=3.0, n_max=2, l_max=2, sigma=0.5, periodic=periodic)
    for descriptor in (ACSF(species=species, r_cut=3.0, periodic=periodic, **functions), soap):
        batch = Batch.from_atoms(structures)
        batch = batch.with_positions(batch.positions.requires_grad_())
        with pytest.MonkeyPatch.context() as patch, none_found():
            patch.setattr(
                "losiko_torch.descriptors.soap.soap.kernels_serve", lambda *arguments: False
            )
            descriptor(batch).square().sum().backward()


def test_fitting():
    for structures in (molecules(), crystals()):
        good = Batch.from_atoms(structures)
        with none_found():
            pull(Good.of(good), good.with_positions(good.positions + 0.1))


def test_terms():
    structures = crystals()
    for atoms in structures:
        atoms.arrays["anchors"] = atoms.positions + 0.1
    terms = [Tether(1.0, "anchors"), Repulsion(closest={("Na", "Cl"): 3.0})]
    batch = Batch.from_atoms(structures)
    every = [arrays_of(terms, atoms, k) for k, atoms in enumerate(structures)]
    arrays = {"tether": torch.as_tensor(np.concatenate([each["tether"] for each in every]))}
    with none_found():
        evaluate_terms(terms, replace(batch, arrays=arrays))


INDEX = torch.tensor([3, 0, 3, 1, 1, 3])


def test_sums_and_gathers_are_each_other_s_gradient():
    values = torch.rand(6, 2, dtype=torch.float64, requires_grad=True)
    rows = torch.rand(5, 2, dtype=torch.float64, requires_grad=True)
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        options = {"check_forward_ad": True} if check is torch.autograd.gradcheck else {}
        assert check(lambda x: summed(x, INDEX, 5).square(), values, **options)
        assert check(lambda x: gathered(x, INDEX).square(), rows, **options)


@pytest.mark.parametrize("index", [INDEX, INDEX.sort().values])
@pytest.mark.parametrize("shape", [(6,), (6, 2), (6, 3, 3)])
def test_sums_are_those_of_index_add(index, shape):
    values = torch.rand(shape, dtype=torch.float64)
    expected = values.new_zeros((5, *shape[1:])).index_add(0, index, values)
    torch.testing.assert_close(summed(values, index, 5), expected)
    turned = summed(values.movedim(0, -1), index, 5, dim=len(shape) - 1)
    torch.testing.assert_close(turned, expected.movedim(0, -1))


def test_many_entries_are_added_in_pieces(monkeypatch):
    index = torch.tensor([0] * 3 + [2] * 2000 + [3] * 513 + [4] * 512)
    values = torch.rand(len(index), 3, dtype=torch.float64)
    longest = []
    sums_of_segments = sums.segment_sums

    def noted(values, first):
        longest.append(int(first.diff().max()))
        return sums_of_segments(values, first)

    monkeypatch.setattr(sums, "segment_sums", noted)
    found = summed(values, index, 6)
    assert longest == [512, 4]
    torch.testing.assert_close(found, values.new_zeros(6, 3).index_add(0, index, values))


def test_largest_are_those_of_scatter_reduce():
    values = torch.rand(6) - 0.5
    values[2] = torch.nan
    for index in (INDEX, INDEX.sort().values):
        expected = torch.zeros(5).scatter_reduce(0, index, values, "amax")
        torch.testing.assert_close(sums.largest(values, index, 5), expected, equal_nan=True)
