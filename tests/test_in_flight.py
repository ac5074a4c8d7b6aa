"""Structures that join a batch as others leave it end as if they had been alone."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.constraints import FixAtoms
from gradient_optimizers import GRADIENT_OPTIMIZERS
from hypothesis import given
from hypothesis import strategies as st
from small_database import database, rattled, soap

from losiko_torch import EnvironmentDatabase, Stage, relax
from losiko_torch.batching.in_flight import REFILL, Capacity, InFlight, flow
from losiko_torch.loss.objective import Objective
from losiko_torch.relaxation.batch_state import BatchState

#: All of the same elements.
NAMES = ["CH3OH", "HCOOH", "H2CO", "CH3CHO", "CH3CH2OH", "HCOOCH3", "CH3OCH3", "CH3COOH"]
EXACT = {"dtype": "float64"}
#: Steps enough that some end long before others do.
SHORT = {"max_steps": 25, "fmax": 0.1, **EXACT}
ROOM = 20


def molecules(names=tuple(NAMES)):
    return [rattled(name, seed) for seed, name in enumerate(names)]


@pytest.fixture
def seen(monkeypatch):
    """Atoms in the batch at every evaluation; "joined" where others had joined before it."""
    atoms = []
    evaluate, joined = Objective.evaluate, BatchState.joined

    def counted(self, batch, *arguments):
        atoms.append(batch.n_atoms)
        return evaluate(self, batch, *arguments)

    def noted(self, other):
        atoms.append("joined")
        return joined(self, other)

    monkeypatch.setattr(Objective, "evaluate", counted)
    monkeypatch.setattr(BatchState, "joined", noted)
    return atoms


def assert_as_alone(structures, made, options, tolerance=1e-6):
    results = relax(structures, made, **options, batch_atoms=ROOM)
    for result, atoms in zip(results, structures, strict=True):
        (alone,) = relax(atoms, made, **options)
        assert result.n_steps == alone.n_steps
        assert result.reason == alone.reason
        assert np.abs(result.atoms.positions - alone.atoms.positions).max() <= tolerance
        assert np.abs(result.atoms.cell - alone.atoms.cell).max() <= tolerance
        assert result.loss == pytest.approx(alone.loss, rel=1e-6, abs=1e-12)
        assert result.start_loss == pytest.approx(alone.start_loss, rel=1e-9)
        np.testing.assert_allclose(result.distances, alone.distances, rtol=1e-4, atol=1e-9)
        np.testing.assert_array_equal(result.matches.structure, alone.matches.structure)


# When structures join


class Recorder(InFlight):
    """Batch whose structures leave in a given order; it records the structures inside."""

    def __init__(self, sizes, order):
        self.sizes, self.order = sizes, order
        self.inside, self.rounds, self.began = [], [], []

    def go_on(self, newcomers, enough):
        self.inside = [*self.inside, *newcomers]
        self.began += newcomers
        self.rounds.append((self.inside, newcomers))
        gone = 0
        while self.inside and gone < enough:
            first = min(self.inside, key=self.order.__getitem__)
            self.inside = [place for place in self.inside if place != first]
            gone += self.sizes[first]
        return self.inside


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 99)), max_size=30), st.integers(1, 30))
def test_no_more_are_inside_than_there_is_room_for(structures, atoms):
    sizes, order = [size for size, _ in structures], [order for _, order in structures]
    company = Recorder(sizes, order)
    assert flow(range(len(sizes)), sizes, Capacity(atoms), company) == []
    assert company.began == list(range(len(sizes)))
    for number, (inside, newcomers) in enumerate(company.rounds):
        held = sum(sizes[place] for place in inside)
        assert held <= atoms or len(inside) == 1
        assert inside == sorted(inside)
        # No structure waits that would fit, and newcomers fill a portion or are all that are left.
        waiting = sizes[inside[-1] + 1 :]
        assert not waiting or held + waiting[0] > atoms
        free = atoms - held + sum(sizes[place] for place in newcomers)
        assert number == 0 or free >= REFILL * atoms or not waiting or len(inside) == 1
    assert company.inside == []


class Counted(list):
    """Sizes that count how often they are looked at."""

    looks = 0

    def __getitem__(self, place):
        self.looks += 1
        return super().__getitem__(place)


class Leaving(InFlight):
    """Batch whose structures leave in their order, in time linear in those that leave."""

    def __init__(self, sizes):
        self.sizes, self.inside = sizes, []

    def go_on(self, newcomers, enough):
        self.inside += newcomers
        gone = count = 0
        while gone < enough:
            gone += self.sizes[self.inside[count]]
            count += 1
        self.inside = self.inside[count:]
        return self.inside


def test_work_is_linear_in_the_number_of_structures():
    looks = []
    for count in (1000, 4000):
        sizes = Counted([1 + place % 3 for place in range(count)])
        assert flow(range(count), sizes, Capacity(40), Leaving(list(sizes))) == []
        looks.append(sizes.looks / count)
    assert looks[1] == pytest.approx(looks[0], rel=0.05)
    assert looks[0] < 12


# As if alone


@pytest.mark.parametrize(
    ("optimizer", "targets"),
    [*((name, "nearest") for name in GRADIENT_OPTIMIZERS), ("lbfgs", "locally-linear")],
)
def test_who_joins_ends_as_if_alone(optimizer, targets, seen):
    names = ["CH3OH", "HCOOH", "H2CO", "HCOOCH3", "CH3CHO"]
    # Some start so near to a minimum that they end long before the others.
    structures = [rattled(name, 0, 0.15 - 0.03 * k) for k, name in enumerate(names)]
    options = {"optimizer": optimizer, "targets": targets, **SHORT}
    relax(structures, database(), batch_atoms=ROOM, **options)
    assert "joined" in seen
    assert max(count for count in seen if count != "joined") <= ROOM
    assert_as_alone(structures, database(), options)


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": [Stage("nearest", max_steps=10), Stage(n_neighbors=8, max_steps=15)]},
        {"noise": (0.003, 0.6), "seed": 3},
        {"weights": {"H": 0.5}, "degree": 2},
    ],
    ids=["schedule", "noise", "weights"],
)
def test_so_it_does_with_stages_noise_and_weights(options, seen):
    structures = molecules()
    structures[5].arrays["losiko_weight"] = np.linspace(0.5, 2, len(structures[5]))
    assert_as_alone(structures, database(), {**SHORT, **options})
    assert "joined" in seen


def test_so_it_does_with_fixed_atoms(seen):
    structures = molecules()
    for atoms in structures[::2]:
        atoms.set_constraint(FixAtoms([0, 2]))
    assert_as_alone(structures, database(), SHORT)
    assert "joined" in seen


def test_so_it_does_in_crystals_whose_cells_move(seen):
    made = EnvironmentDatabase.build(bulk("C"), soap(periodic=True, smooth_width=1.0))
    structures = []
    for seed, size in enumerate([(2, 1, 1), (1, 1, 1), (3, 1, 1), (2, 1, 1), (2, 2, 1), (4, 1, 1)]):
        atoms = bulk("C") * size
        atoms.set_cell(atoms.cell * (1 + 0.01 * seed), scale_atoms=True)
        atoms.rattle(0.03 * (3 - seed % 3), seed=seed)
        structures.append(atoms)
    assert_as_alone(structures, made, {"targets": "nearest", "cell": True, **SHORT})
    assert "joined" in seen


def test_several_starts_take_turns_too(seen):
    options = {"n_starts": 2, "start_noise": 0.05, "seed": 1, **SHORT}
    structures = molecules()[:4]
    results = relax(structures, database(), batch_atoms=ROOM, **options)
    assert "joined" in seen
    for result, atoms in zip(results, structures, strict=True):
        (alone,) = relax(atoms, database(), **options)
        for copy, its in zip(result.starts, alone.starts, strict=True):
            assert copy.n_steps == its.n_steps
            assert np.abs(copy.atoms.positions - its.atoms.positions).max() <= 1e-6


# Steps of each structure, and the order of the results


def test_steps_count_from_joining(seen):
    results = relax(molecules(), database(), batch_atoms=ROOM, max_steps=7, fmax=1e-9, **EXACT)
    assert [result.n_steps for result in results] == [7] * len(NAMES)
    assert {result.reason for result in results} == {"max_steps"}


def test_order_is_that_of_the_input_and_failures_disturb_nobody():
    structures = molecules()
    for place in (1, 4):
        structures[place].positions[0] = np.nan
    results = relax(structures, database(), batch_atoms=ROOM, **SHORT)
    assert [result.failed for result in results] == [place in (1, 4) for place in range(8)]
    for result, atoms in zip(results, structures, strict=True):
        np.testing.assert_array_equal(result.atoms.numbers, atoms.numbers)
    rest = [atoms for place, atoms in enumerate(structures) if place not in (1, 4)]
    good = [result for result in results if not result.failed]
    for one, other in zip(good, relax(rest, database(), **SHORT), strict=True):
        assert np.abs(one.atoms.positions - other.atoms.positions).max() <= 1e-6


def test_one_that_breaks_among_those_that_join_fails_alone(monkeypatch):
    evaluate, spoiled = Objective.evaluate, molecules()[6]

    def breaks(self, batch, *arguments):
        found = evaluate(self, batch, *arguments)
        at = (batch.positions - torch.as_tensor(spoiled.positions[0])).norm(dim=1) == 0
        found.distances[at] = torch.nan
        found.loss[batch.system_idx[at]] = torch.nan
        return found

    monkeypatch.setattr(Objective, "evaluate", breaks)
    results = relax(molecules(), database(), batch_atoms=ROOM, **SHORT)
    assert [result.failed for result in results] == [place == 6 for place in range(8)]
    np.testing.assert_array_equal(results[6].atoms.positions, spoiled.positions)
    monkeypatch.undo()
    for place in (5, 7):
        (alone,) = relax(molecules()[place], database(), **SHORT)
        assert np.abs(results[place].atoms.positions - alone.atoms.positions).max() <= 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_call_gives_the_same_bits(dtype):
    options = {"batch_atoms": ROOM, **SHORT, "dtype": dtype}
    one, other = (relax(molecules(), database(), **options) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.atoms.positions, second.atoms.positions)
        assert (first.loss, first.n_steps) == (second.loss, second.n_steps)


def test_progress_is_told_of_each_once():
    told = []
    relax(molecules(), database(), batch_atoms=ROOM, progress=told.append, **SHORT)
    assert sum(told) == len(NAMES)
    assert len(told) > 1
