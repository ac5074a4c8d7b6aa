"""The QM9 case: its split, its errors and RDKit's starts."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

pytest.importorskip("rdkit")
pytest.importorskip("tblite")

from cases import conformers, molecules, qm9
from cases.energies import perceive

from losiko_torch import SOAP, EnvironmentDatabase, relax
from losiko_torch.database.builtin import builtin_structures
from losiko_torch.io.fetching.qm9 import as_arrays
from losiko_torch.report.environment_map import environment_map
from losiko_torch.systems.geometry import rmsd

SMALL = {"r_cut": 3.0, "n_max": 4, "l_max": 3, "sigma": 0.3}


@pytest.fixture(scope="module")
def organic():
    """Molecules of the built-in database of QM9's elements, none of two atoms."""
    like = (atoms for atoms in builtin_structures() if set(atoms.symbols) <= {"H", "C", "N", "O"})
    return [atoms for atoms in like if len(atoms) > 2][:400]


@pytest.fixture
def data(monkeypatch, organic):
    """QM9 with the built-in database's molecules in its place, numbered as far as 120,000."""
    arrays = as_arrays((300 * k + 1, atoms) for k, atoms in enumerate(organic))
    monkeypatch.setattr(molecules, "qm9_arrays", lambda: arrays)
    return molecules.QM9()


def ids(structures):
    return {atoms.info["id"] for atoms in structures}


def test_reported_molecules_are_neither_in_the_database_nor_chosen_on(data):
    reported = ids(data.reporting(50))
    assert len(reported) == 50
    assert not reported & ids(map(data.molecule, data.database_molecules))
    assert not reported & ids(data.choosing(100))


def test_spaced_molecules_span_the_data_without_those_reported(data):
    reported = data.reporting(50)
    spaced = data.spaced(40, without=reported)
    assert len(ids(spaced)) == 40
    assert not ids(spaced) & ids(reported)
    gaps = np.diff(sorted(ids(spaced)))
    assert gaps.max() < 2.5 * gaps.min()
    assert len(data.spaced(10_000, without=reported)) == 350


def test_errors_of_a_turned_copy_are_zero_and_of_a_stretched_bond_its_length():
    water = molecule("H2O")
    turned = water.copy()
    turned.rotate(40, "x")
    turned.translate([1, 2, 3])
    assert all(np.abs(each).max() < 1e-6 for each in qm9.errors([turned], [water]))
    found = qm9.errors([qm9.diatomic("N2", 1.2)], [qm9.diatomic("N2", 1.1)])
    assert found.rmsd == pytest.approx([0.05])
    assert found.bonds == pytest.approx([0.1])
    assert found.moved == pytest.approx([0.05, 0.05])
    assert found.local == pytest.approx([0.1, 0.1])


def test_local_errors_do_not_see_what_is_far_away():
    chain = Atoms("C4", [[0, 0, 0], [1.5, 0, 0], [6, 0, 0], [7.5, 0, 0]])
    bent = chain.copy()
    bent.positions[2:, 1] += 2
    assert qm9.errors([bent], [chain]).local == pytest.approx(np.zeros(4))


def test_groups():
    names = qm9.groups(molecule("CH3CONH2"))
    assert sorted(names) == sorted(["=O", "C", *["NH2"] * 3, *["CH3"] * 4])
    assert qm9.groups(molecule("H2O")) == ["OH2"] * 3
    assert set(qm9.groups(molecule("CH3OCH3"))) == {"O", "CH3"}


def test_groups_on_a_map_belong_to_their_atoms():
    known = [molecule("CH3OH"), molecule("H2O")]
    database = EnvironmentDatabase.build(known, SOAP(species=["H", "C", "O"], **SMALL))
    oxygen = environment_map((), database).elements[-1]
    assert sorted(qm9.reference_groups(oxygen, known)) == ["OH", "OH2"]


def test_relabel_finds_equivalent_atoms_again():
    propane = molecule("C3H8")
    mol = perceive(propane)
    heavy = np.flatnonzero(propane.numbers == 6)
    ends = [k for k in heavy if qm9.groups(propane)[k] == "CH3"]
    middle = next(k for k in heavy if k not in ends)
    hydrogens = {k: np.flatnonzero(propane.get_distances(k, range(11)) < 1.2) for k in heavy}
    hydrogens = {k: [n for n in near if n not in heavy] for k, near in hydrogens.items()}
    order = np.arange(len(propane))
    order[ends] = ends[::-1]
    order[hydrogens[ends[0]]] = np.roll(hydrogens[ends[1]], 1)
    order[hydrogens[ends[1]]] = hydrogens[ends[0]]
    order[hydrogens[middle]] = hydrogens[middle][::-1]
    mixed = propane.positions[order]
    assert rmsd(Atoms(propane.numbers, mixed), propane) > 0.5
    found = conformers.relabel(mol, propane, mixed)
    assert rmsd(found, propane) < 1e-6


def test_same_conformers_are_near_and_those_left_out_are_counted():
    apart = Atoms("CN", [[0, 0, 0], [3, 0, 0]])
    given = [molecule("CH3CH2OH"), apart, molecule("CH3CONH2")]
    made = conformers.same_conformers(given)
    assert len(made.molecules) + sum(made.lost.values()) == 3
    assert made.lost["bonds not perceived"] == 1
    assert given[0] in made.molecules
    for atoms, start in zip(made.molecules, made.starts, strict=True):
        assert 0 < rmsd(start, atoms) < conformers.SAME


def test_a_molecule_unlike_any_reference_relaxes_wrong_and_one_reference_cures_it(organic):
    soap = SOAP(species=molecules.SPECIES, **SMALL)
    length = qm9.DIATOMICS["N2"]
    known = [atoms for atoms in organic if (atoms.numbers == 7).sum() < 2][::3]
    starts = [qm9.diatomic("N2", factor * length) for factor in qm9.STRETCHED]
    lacking = EnvironmentDatabase.build(known, soap)
    cured = EnvironmentDatabase.build([*known, qm9.diatomic("N2", length)], soap)
    for result in relax(starts, lacking):
        assert abs(result.atoms.get_distance(0, 1) - length) > 0.05
        assert result.loss > 0.01
    for result in relax(starts, cured):
        assert result.atoms.get_distance(0, 1) == pytest.approx(length, abs=0.02)
        assert result.loss < 0.001
