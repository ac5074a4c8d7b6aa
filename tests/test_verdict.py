"""Verdicts: what is called reliable, what is not, and the sentence that says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_learned
import torch
from ase import Atoms
from ase.build import bulk, molecule

from losiko_torch import SOAP, EnvironmentDatabase, relax
from losiko_torch.database.building.survey import Survey, distances_of, united_survey
from losiko_torch.database.building.unlike import unlike_of
from losiko_torch.io.labels import labelled
from losiko_torch.systems.batch import Batch
from losiko_torch.systems.bonds import Lengths
from losiko_torch.verdict.verdict import Signs, doubts_of

NAMES = ("CH3OH", "H2O", "CH4", "C2H6", "CH3CH2OH", "CH3OCH3", "HCOOH")


@pytest.fixture(scope="module")
def database() -> EnvironmentDatabase:
    soap = SOAP(species=["H", "C", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3)
    return EnvironmentDatabase.build([molecule(name) for name in NAMES], soap)


def doubt(start: Atoms, end: Atoms, database: EnvironmentDatabase, moving=None) -> str:
    before, after = (Batch.from_atoms(each, dtype=torch.float64) for each in (start, end))
    every = torch.ones(len(end), dtype=torch.bool) if moving is None else moving
    (found,) = doubts_of(before, after, every, database)
    return found


def moved(atoms: Atoms, atom: int, by) -> Atoms:
    copy = atoms.copy()
    copy.positions[atom] += by
    return copy


def stretched(atoms: Atoms, h: int, x: int, by: float) -> Atoms:
    along = atoms.positions[h] - atoms.positions[x]
    return moved(atoms, h, by * along / np.linalg.norm(along))


def test_nothing_speaks_against_what_stayed_as_it_was(database):
    for name in NAMES:
        atoms = molecule(name)
        shaken = atoms.copy()
        shaken.rattle(0.08, seed=3)
        assert doubt(shaken, atoms, database) == ""


def test_stretched_bond_that_came_back_is_no_doubt(database):
    ethanol = molecule("CH3CH2OH")
    h = [k for k in range(len(ethanol)) if ethanol.symbols[k] == "H"][-1]
    x = int(np.argsort(ethanol.get_distances(h, range(len(ethanol))))[1])
    for by in (0.3, 0.7, 1.0):
        assert doubt(stretched(ethanol, h, x, by), ethanol, database) == ""


@pytest.mark.parametrize(("by", "words"), [(0.3, "has left"), (3.0, "has left")])
def test_atom_that_leaves(database, by, words):
    methane = molecule("CH4")
    gone = stretched(methane, 1, 0, by + 0.4)
    assert words in doubt(methane, gone, database)
    assert "atom" in doubt(methane, gone, database)


def test_atom_that_never_came(database):
    methane = stretched(molecule("CH4"), 1, 0, 1.0)
    assert "atom 0 (C)" in doubt(methane, methane, database) or "atom 1 (H)" in doubt(
        methane, methane, database
    )


def test_atoms_that_collided_at_the_end_and_at_the_start(database):
    water = molecule("H2O")
    near = water.copy()
    near.positions[2] = near.positions[1] + [0.0, 0.0, 0.4]
    assert "have collided" in doubt(water, near, database)
    assert "0.40 A apart at the start" in doubt(near, water, database)


@pytest.mark.parametrize(
    ("factor", "unit"), [(100.0, "picometers"), (1 / 0.529177, "Bohr"), (0.1, "nanometers")]
)
def test_units(database, factor, unit):
    ethanol = molecule("CH3CH2OH")
    other = ethanol.copy()
    other.positions *= factor
    assert unit in doubt(other, other, database)


def test_bond_that_forms(database):
    two = Atoms("COOH", [[0, 0, 0], [-1.2, 0, 0], [3.5, 0, 0], [3.8, 0.9, 0]])
    near = Atoms("COOH", [[0, 0, 0], [-1.2, 0, 0], [1.3, 0, 0], [1.6, 0.9, 0]])
    assert "has become a neighbour" in doubt(two, near, database)


def water_dimer(apart: float) -> Atoms:
    """Return two water molecules, an H of the first ``apart`` Angstrom from the second's O."""
    one, other = molecule("H2O"), molecule("H2O")
    along = one.positions[1] - one.positions[0]
    along /= np.linalg.norm(along)
    other.positions += one.positions[1] + apart * along - other.positions[0]
    # Its hydrogens point away.
    middle = other.positions[1:].mean(0) - other.positions[0]
    normal = np.cross(middle, along)
    angle = np.degrees(np.arctan2(np.linalg.norm(normal), middle @ along))
    if np.linalg.norm(normal) > 1e-6:
        other.rotate(angle, normal, center=other.positions[0])
    return one + other


def arc(symbols: str, apart: float) -> Atoms:
    """Return a chain of bonds of 1.2 A, bent so far that its ends come near."""
    count = len(Atoms(symbols))
    angles = np.linspace(1e-3, 2 * np.pi / (count - 1) - 1e-3, 10**5)
    between = 1.2 * np.sin((count - 1) * angles / 2) / np.sin(angles / 2)
    angle = angles[np.argmin(np.abs(between - apart))]
    around = np.arange(count) * angle
    radius = 0.6 / np.sin(angle / 2)
    ring = radius * np.stack([np.cos(around), np.sin(around), 0 * around], axis=1)
    return Atoms(symbols, ring)


@pytest.mark.parametrize("between", [2, 3, 4, 5])
def test_contacts_count_where_at_least_four_bonds_are_between(between, database):
    symbols = ("OC" * 3)[: between + 1]
    near, far = arc(symbols, 2.1), arc(symbols, 2.8)
    assert near.get_distance(0, -1) == pytest.approx(2.1, abs=1e-3)
    told = doubt(near, far, database)
    assert told.startswith("the contact of atom 0 (O) with atom") == (between >= 4), told


def test_contacts(database):
    near, far = water_dimer(1.9), water_dimer(2.8)
    assert "use a database that holds such contacts" in doubt(near, far, database)
    assert "holds no such contacts" in doubt(near, near, database)
    soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3)
    knows = EnvironmentDatabase.build([water_dimer(1.9), molecule("H2O")], soap)
    assert doubt(near, near, knows) == ""


def test_what_is_fixed_is_not_judged(database):
    near = molecule("H2O")
    near.positions[2] = near.positions[1] + [0.0, 0.0, 0.4]
    assert doubt(near, near, database, torch.zeros(3, dtype=torch.bool)) == ""
    assert doubt(near, near, database) != ""


def test_molecule_that_went_far(database):
    start = molecule("CH3CH2OH")
    end = start.copy()
    end.set_dihedral(2, 1, 0, 4, 0, indices=[4, 5, 6, 7, 8])
    end.positions[:3] += 1.5
    assert doubt(start, end, database) != ""


def test_a_batch_is_judged_as_its_structures_alone(database):
    water, methane = molecule("H2O"), molecule("CH4")
    pairs = [(water, water), (methane, stretched(methane, 1, 0, 1.0)), (water, water)]
    before, after = (
        Batch.from_atoms([pair[k] for pair in pairs], dtype=torch.float64) for k in (0, 1)
    )
    every = torch.ones(after.n_atoms, dtype=torch.bool)
    together = doubts_of(before, after, every, database)
    assert together == [doubt(start, end, database) for start, end in pairs]
    assert together[1].startswith("atom ")
    assert together[0] == together[2] == ""


def test_verdict_does_not_depend_on_orientation_and_place(database):
    methane = molecule("CH4")
    gone = stretched(methane, 1, 0, 1.0)
    turned, turned_gone = methane.copy(), gone.copy()
    for atoms in (turned, turned_gone):
        atoms.rotate(40, (1, 2, 3), center=(0, 0, 0))
        atoms.positions += 7.0
    assert doubt(methane, gone, database) == doubt(turned, turned_gone, database)


def test_results_carry_the_verdict(database):
    start = molecule("CH3CH2OH")
    start.rattle(0.05, seed=2)
    lost = molecule("H2O")
    lost.positions *= 100
    good, bad, failed = relax([start, lost, Atoms("Xe")], database)
    assert good.converged
    assert good.reliable
    assert good.doubt == ""
    assert not bad.reliable
    assert "picometers" in bad.doubt
    assert failed.failed
    assert not failed.reliable
    assert failed.doubt
    atoms = labelled(bad)
    assert atoms.info["losiko_reliable"] is False
    assert atoms.info["losiko_doubt"] == bad.doubt
    assert "losiko_doubt" not in labelled(good).info


def test_too_few_steps_are_a_doubt(database):
    start = molecule("CH3CH2OH")
    start.rattle(0.01, seed=2)
    (result,) = relax(start, database, max_steps=2, fmax=1e-9)
    assert result.reason == "max_steps"
    assert not result.reliable
    assert "more" in result.doubt


def test_survey():
    found = distances_of([molecule("H2O"), water_dimer(1.9)])[1]
    assert found.loneliest[8] == pytest.approx(0.969, abs=1e-3)
    assert found.contacts[1, 8] == pytest.approx(1.9, abs=1e-3)
    assert Survey.of_json(found.to_json()) == found
    assert united_survey([found, None]) is None
    assert united_survey([distances_of([molecule("H2O")])[1], found]) == found
    assert distances_of([bulk("Cu")])[1].contacts == {}


def test_molecules_by_bonds():
    batch = Batch.from_atoms([water_dimer(1.9), molecule("H2")], dtype=torch.float64)
    labels = Lengths.of(batch, 3.0).molecules(batch.n_atoms).tolist()
    assert labels == [0, 0, 0, 1, 1, 1, 2, 2]


def test_survey_is_kept_by_files_and_unions(database, tmp_path):
    database.save(tmp_path / "a.losiko")
    assert EnvironmentDatabase.load(tmp_path / "a.losiko").survey == database.survey
    soap = SOAP(species=["H", "O"], r_cut=3.0, n_max=4, l_max=3, sigma=0.3)
    dimers = EnvironmentDatabase.build([water_dimer(1.9)], soap)
    assert database.union(dimers).survey.contacts == dimers.survey.contacts
    assert database.thinned(1e-6).survey == database.survey


def test_atom_unlike_all_references_is_named(database):
    before, batch = (Batch.from_atoms(molecule("CH3OH"), dtype=torch.float64) for _ in range(2))
    database = replace(database, survey=replace(database.survey, unlike={6: 0.2, 8: 0.1}))
    nearest = torch.tensor([0.05, 0.05, 9.0, 9.0, 9.0, 9.0], dtype=torch.float64)
    every = torch.ones(6, dtype=torch.bool)

    def told(nearest, expected=None):
        signs = Signs(nearest, expected, 0.3)
        return doubts_of(before, batch, every, database, signs)

    assert told(nearest) == [""]
    nearest[1] = 0.15
    (sentence,) = told(nearest)
    assert sentence.startswith("atom 1 (O) is unlike all references")
    nearest[0] = 0.7
    assert "atom 0 (C)" in told(nearest)[0]
    expected = torch.full((6,), 0.05, dtype=torch.float64)
    assert told(None, expected) == [""]
    expected[4] = 0.5
    assert "atom 4 (H) is to be expected 0.50 A from where it should be" in told(None, expected)[0]


def test_distance_that_is_unlike_follows_from_references_left_out():
    rng = np.random.default_rng(0)
    water = [molecule("H2O") for _ in range(60)]
    for atoms in water:
        atoms.positions += rng.normal(0, 0.02, (3, 3))
    database = EnvironmentDatabase.build(
        water, SOAP(species=["H", "O"], r_cut=3.0, n_max=4, l_max=3)
    )
    unlike = database.survey.unlike
    assert set(unlike) == {1, 8}
    assert EnvironmentDatabase.build(water[:10], database.descriptor).survey.unlike == {}
    # Of copies of one structure alone nothing is left where it is left out.
    part = replace(database.environments[8], structure=torch.zeros(60, dtype=torch.int32))
    assert unlike_of({8: part}) == {}
    far = [molecule("H2O"), molecule("H2O")]
    far[1].set_distance(0, 1, 1.6, fix=0)
    good, bad = relax(far, database, targets="nearest", max_steps=1)
    assert "unlike" not in good.doubt
    assert max(bad.matches.distance[:, 0]) > unlike[8]
    assert Survey.of_json(database.survey.to_json()) == database.survey
    assert set(database.farthest(55).survey.unlike) == {1, 8}
    assert database.farthest(5).survey.unlike == {}


def test_limit_of_the_expected_error_is_an_option():
    learned = small_learned.of_molecules()
    some = [small_learned.molecule(name, 3) for name in small_learned.NAMES[:4]]
    generous, strict = (relax(some, learned, max_error=each) for each in (2.5, 1e-6))
    assert not any("max_error" in one.doubt for one in generous)
    assert all(one.doubt for one in strict)
    assert any("max_error" in one.doubt for one in strict)


def test_drawing_that_stays_flat_is_doubted(database):
    known = distances_of([molecule("C6H6")])[1].partners
    database = replace(database, survey=replace(database.survey, partners=known))
    ring = np.arange(6) * np.pi / 3
    around = np.stack([np.cos(ring), np.sin(ring), 0 * ring], axis=1)
    good = Atoms("C6H6", [*1.39 * around, *2.48 * around])
    drawing, shaken = good.copy(), good.copy()
    drawing.positions *= 0.8
    assert "drawing" in doubt(drawing, good, database)
    shaken.positions[:, 2] += 0.1 * np.cos(np.arange(12))
    assert doubt(good, good, database) == ""
    assert "drawing" not in doubt(shaken, good, database)
    drawing.positions[0, 2] += 0.5
    assert "drawing" not in doubt(drawing, good, database)
