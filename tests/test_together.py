"""Many structures at once are what they are one by one: two ways, one law."""

import copy

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.collections import g2
from ase.constraints import FixAtoms
from hypothesis import given
from hypothesis import strategies as st
from small_archive import write_archive
from small_database import database, rattled

from losiko_torch import relax, score
from losiko_torch.batching.evaluator import Evaluator
from losiko_torch.io.read import read_structures
from losiko_torch.loss.settings import LossSettings
from losiko_torch.relaxation.queues import queues
from losiko_torch.relaxation.relaxer import Relaxer
from losiko_torch.relaxation.settings import Settings
from losiko_torch.systems import molecules
from losiko_torch.systems.batch import Batch, regular_cell
from losiko_torch.systems.equivalent import are_symmetric, is_symmetric
from losiko_torch.systems.names import UNREADABLE
from losiko_torch.systems.selection import selections
from losiko_torch.systems.sound import MOST_ATOMS, sound
from losiko_torch.systems.validity import COINCIDENCE, check_structure


def changed(change, name="CH3OH"):
    atoms = rattled(name, 1)
    return change(atoms) or atoms


def at(place, value):
    return lambda atoms: atoms.positions.__setitem__(place, value)


def apart(distance):
    """Place the last atom at a distance from the first."""
    along = np.array([0.6, 0.48, 0.64])
    return lambda atoms: at(-1, atoms.positions[0] + distance * along)(atoms)


#: Structures of every fate; each stands between good ones.
ODD = {
    "not a number": changed(at((2, 1), np.nan)),
    "infinite": changed(at((2, 1), -np.inf)),
    "far": changed(at(1, 2e4)),
    "one spot": changed(at(3, rattled("CH3OH", 1).positions[0])),
    "a little too near": changed(apart(COINCIDENCE - 1e-6)),
    "just not too near": changed(apart(COINCIDENCE + 1e-6)),
    "element 0": changed(lambda atoms: atoms.numbers.__setitem__(0, 0)),
    "element 200": changed(lambda atoms: atoms.numbers.__setitem__(1, 200)),
    "element -3": changed(lambda atoms: atoms.numbers.__setitem__(1, -3)),
    "unknown element": changed(lambda atoms: atoms.numbers.__setitem__(1, 14)),
    "no atoms": Atoms(),
    "unreadable": Atoms(info={UNREADABLE: "frame 3 cannot be read"}),
    "disordered": changed(lambda atoms: atoms.info.update(occupancy={"0": {"C": 0.5}})),
    "cell": changed(lambda atoms: atoms.set_cell([9, 9, 9])),
    "broken cell": changed(lambda atoms: atoms.set_cell([np.nan, 9, 9])),
    "periodic": bulk("Cu"),
    "fixed": changed(lambda atoms: atoms.set_constraint(FixAtoms([0]))),
    "weights": changed(lambda atoms: atoms.set_array("losiko_weight", np.full(6, -1.0))),
    "masked": changed(lambda atoms: atoms.set_array("mask", np.arange(6) % 2 == 0)),
    "large": Atoms("H" * (MOST_ATOMS + 1), np.arange(3 * MOST_ATOMS + 3).reshape(-1, 3) * 1.0),
}


@pytest.fixture
def structures():
    return [each for odd in ODD.values() for each in (rattled("HCOOH", 2), odd.copy())]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"movable": "mask"},
        {"weights": {"H": 0.5}},
        {"movable": lambda atoms: atoms.numbers > 1},
    ],
)
def test_prepared_together_as_one_by_one(structures, options):
    """Bad inputs get the same sentence, and the same atoms move."""
    made = Relaxer.make(structures, database(), Settings(targets="nearest", **options))
    many = made.evaluator.prepare_many(structures, 5, made.select)
    for number, (atoms, item) in enumerate(zip(structures, many, strict=True), 5):
        alone = made.evaluator.prepare(atoms, number, made.select(number))
        assert item.atoms is alone.atoms is atoms
        assert (item.problem, item.number, item.copy) == (alone.problem, number, alone.copy)
        np.testing.assert_array_equal(item.movable, alone.movable)
        np.testing.assert_array_equal(item.weights, alone.weights)
        assert item.arrays.keys() == alone.arrays.keys()
    assert 0 < sum(item.problem is None for item in many) < len(many)


def test_nothing_moves_of_what_is_only_judged(structures):
    evaluator = Evaluator.make(database(), LossSettings(targets="nearest"))
    many = evaluator.prepare_many(structures)
    assert not any(item.movable.any() for item in many)
    assert [item.problem for item in many] == [
        evaluator.prepare(each).problem for each in structures
    ]
    assert [each.problem for each in score(structures, database(), targets="nearest")] == [
        item.problem for item in many
    ]


def test_reasons_of_an_archive_are_those_of_its_molecules(tmp_path):
    names = [name for name, odd in ODD.items() if not odd.pbc.any() and not odd.info]
    molecules = [Atoms(ODD[name].numbers, ODD[name].positions) for name in names]
    write_archive(tmp_path / "a.npz", molecules)
    options = {"targets": "nearest", "max_steps": 1}
    together = relax(tmp_path / "a.npz", database(), **options)
    for name, result, atoms in zip(names, together, molecules, strict=True):
        if name in ("element 200", "element -3"):  # what is no element is told as the file is read
            assert "is not a chemical element" in result.reason
            continue
        (alone,) = relax(atoms, database(), **options)
        assert result.reason == alone.reason


@given(st.integers(2, 40), st.floats(0.02, 3), st.integers(0, 10**6), st.booleans())
def test_whoever_is_sound_passes_the_check(count, size, seed, flat):
    """The other way round as well, but for what is right at the limit."""
    rng = np.random.default_rng(seed)
    clouds = [Atoms("C" * count, rng.normal(0, size, (count, 3))) for _ in range(5)]
    for atoms in clouds:
        atoms.positions[:, 0] *= not flat
    for atoms, cleared in zip(clouds, sound(clouds).tolist(), strict=True):
        distances = atoms.get_all_distances()[np.triu_indices(count, 1)]
        if cleared:
            check_structure(atoms)
            assert distances.min() > COINCIDENCE
        else:
            assert distances.min() <= 1.002 * COINCIDENCE or count > 30


def test_batches_have_the_cells_of_each():
    structures = [bulk("Cu"), molecule("H2O"), Atoms("H", cell=[0, 0, 3], pbc=[0, 0, 1])]
    structures += [Atoms(), Atoms("C", cell=[[1, 0, 0], [1, 0, 0], [0, 0, 1]])]
    batch = Batch.from_atoms(structures)
    for cell, atoms in zip(batch.cells, structures, strict=True):
        np.testing.assert_array_equal(cell, regular_cell(atoms))
    assert batch.pbc.tolist() == [atoms.pbc.tolist() for atoms in structures]


@given(st.lists(st.lists(st.integers(0, 118), max_size=6), max_size=20), st.integers(1, 12))
def test_queues_hold_structures_of_the_same_elements(elements, room):
    numbers = [np.array(own, dtype=int) for own in elements]
    counts = np.array([len(own) for own in numbers], dtype=int)
    every = np.concatenate([np.empty(0, int), *numbers])
    made = [places.tolist() for places in queues(every, counts, room)]
    assert sorted(place for queue in made for place in queue) == list(range(len(numbers)))
    sets = [frozenset(own) for own in elements]
    for queue in made:
        alike = [place for place, own in enumerate(sets) if own == sets[queue[0]]]
        if sum(len(numbers[place]) for place in alike) >= 0.2 * room:
            assert queue == alike
        else:
            held = sum(len(numbers[place]) for place in queue)
            assert held <= room or len(queue) == 1


@pytest.mark.parametrize("noise", [0.0, 2e-4, 5e-4, 1e-3, 2e-3, 0.01, 0.1])
def test_symmetric_together_as_one_by_one(noise):
    found = [molecule(name) for name in g2.names] + [Atoms("H" * 1001), bulk("Cu"), Atoms()]
    for seed, atoms in enumerate(found):
        atoms.rattle(noise, seed=seed)
    expected = [is_symmetric(atoms) for atoms in found]
    assert are_symmetric(found) == expected
    assert any(expected) or noise > 0.01
    assert not all(expected)


# Molecules made and copied


def same(one, other):
    assert one.__dict__.keys() == other.__dict__.keys()
    for name, value in vars(one).items():
        theirs = vars(other)[name]
        assert type(value) is type(theirs)
        if name == "arrays":
            assert value.keys() == theirs.keys()
            for key, array in value.items():
                assert array.dtype == theirs[key].dtype
                np.testing.assert_array_equal(array, theirs[key])
        else:
            np.testing.assert_array_equal(value, theirs)


def parts(atoms):
    """Whatever can be changed in a structure."""
    arrays = {**atoms.arrays, "cell": atoms.cell.array, "pbc": atoms.pbc}
    return arrays, atoms.info, atoms.constraints


def test_made_as_ase_makes_them():
    water = molecule("H2O")
    made = molecules.molecule(water.numbers, water.positions, {"id": 3})
    same(made, Atoms(water.numbers, water.positions, info={"id": 3}))
    other = molecules.molecule(water.numbers, water.positions, {})
    for one, two in zip(parts(made), parts(other), strict=True):
        assert one is not two
    made.set_cell([1, 2, 3])
    made.pbc = True
    made.set_constraint(FixAtoms([0]))
    same(other, Atoms(water.numbers, water.positions))


@pytest.mark.parametrize("name", ODD)
def test_copied_as_ase_copies_them(name):
    atoms = ODD[name]
    copied, expected = molecules.copy_of(atoms), atoms.copy()
    assert str(vars(copied).pop("_constraints", [])) == str(vars(expected).pop("_constraints", []))
    same(copied, expected)
    for key, array in copied.arrays.items():
        assert not np.shares_memory(array, atoms.arrays[key])
    assert copied.info is not atoms.info
    moved = atoms.positions + 1
    there = molecules.copy_of(atoms, moved)
    np.testing.assert_array_equal(there.positions, moved)
    np.testing.assert_array_equal(atoms.positions + 1, moved)


def test_molecules_of_an_archive_share_nothing(tmp_path):
    np.savez(tmp_path / "a.npz", Z=[1, 1, 8], R=np.eye(3, dtype="f4"), offsets=[0, 2, 3])
    one, other = read_structures(tmp_path / "a.npz")
    before = copy.deepcopy(other)
    one.positions += 1
    one.numbers[:] = 6
    one.info["note"] = 1
    same(other, before)
    assert other.positions.dtype == float
    assert other.numbers.dtype == int


def test_selections_are_asked_for_each_structure():
    select = selections([np.array([True, False])], [Atoms("H2")])
    made = Relaxer.make(None, database(), Settings(targets="nearest"))
    atoms = rattled("H2", 0) if "H2" in g2.names else molecule("H2")
    (item,) = made.evaluator.prepare_many([atoms], 0, select)
    assert item.movable.any(1).tolist() == [True, False]
